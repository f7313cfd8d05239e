"""Graphs of every family of networks compute what the network computes, in batches of one and of many."""

import numpy as np
import pytest

from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from tests.deployment.families import NETWORKS, Deployed, build, deployed

pytestmark = pytest.mark.slow


def test_every_registered_operator_is_among_the_networks():
    names = " ".join(NETWORKS)
    assert all(f"fusion {kind}" in names or kind == "equilibrium" for kind in FUSIONS)
    assert all(f"reducer {kind}" in names for kind in REDUCERS)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graphs_are_the_network(name):
    network = deployed(name)
    for n_samples in (1, 64):
        found, expected, routes = network.run(n_samples)
        assert np.allclose(found.values, expected, atol=1e-4), n_samples
        if found.routes is not None:
            assert (found.routes == routes).all()


def test_without_lengths_there_is_no_mask():
    without = Deployed(build("transformer"), has_lengths=False)
    assert without.inputs.names == ("s", "i")
    found, expected, _ = without.run(5)
    assert np.allclose(found.values, expected, atol=1e-4)


class TestRouted:
    """A routed network is cut so that nothing is computed twice, and only what a sample needs."""

    def test_a_later_stage_continues_from_the_tokens_of_an_earlier_one(self):
        first, second, third = deployed("sequential").deployed.program["stages"]
        assert [stage["after"] for stage in (first, second, third)] == [[], [0], [0, 1]]
        assert set(first["pieces"][0]["inputs"]) == {"v"}
        assert set(second["pieces"][0]["inputs"]) == {"s", "s.lengths", "state.v.1.values"}
        reads = set(third["pieces"][0]["inputs"])
        assert {"i", "state.v.1.values", "state.s.1.values"} < reads
        assert not {"v", "s"} & reads

    def test_the_cheap_route_is_a_result_of_the_choice(self):
        program = deployed("gate on cheap_route mlp").deployed.program
        assert program["stages"][0]["results"] == ["gate", "output.0"]
        assert program["router"]["stage_of_route"] == [0, 1, 2]

    def test_only_the_stages_of_a_route_run(self, monkeypatch):
        network = deployed("sequential")
        ran = []

        def noted(number, run):
            return lambda *args: ran.append((number, len(args[0]["v"]))) or run(*args)

        for number, stage in enumerate(network.program.stages):
            monkeypatch.setattr(stage, "run", noted(number, stage.run))
        tensors = {name: tensor.numpy() for name, tensor in network.inputs.examples(6).items()}
        network.program.run(tensors, np.array([0, 1, 0, 2, 1, 2]))
        assert ran == [(0, 6), (1, 4), (2, 2)]

    def test_an_infinite_price_leaves_one_static_network(self):
        program = deployed("always the cheapest").deployed.program
        assert program["router"] is None
        assert [one["pieces"][0]["inputs"] for one in program["stages"]] == [["v"]]


@pytest.mark.parametrize("name", ["equilibrium anderson", "equilibrium mixing"])
def test_states_of_fixed_points_are_float64(name):
    """In float32, accelerated solvers would amplify rounding to more than their tolerance."""
    program = deployed(name).program
    steps = [piece.step for stage in program.stages for piece in stage.pieces if piece.step is not None]
    assert steps
    assert {one.type for step in steps for one in (*step.get_inputs(), *step.get_outputs())} == {"tensor(double)"}


def test_a_solver_is_told_in_the_program():
    (stage,) = deployed("equilibrium damped").deployed.program["stages"]
    solves = [piece["solve"] for piece in stage["pieces"]]
    assert [one and one["n_states"] for one in solves] == [2, 1, None]
    assert solves[0]["solver"] == {"kind": "picard", "damping": 0.7}
    assert solves[0]["rule"]["tolerance"] == 1e-5
    assert solves[0]["counts_samples"]
