"""The check of closed forms against a count: equal for every kind of network, and loud where a formula is wrong."""

import pytest
import torch

from nasfuse.cost import check, check_macs
from nasfuse.errors import UncountedOperatorError
from nasfuse.nn import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.head import LinearHead
from nasfuse.nn.knob import knobs_at
from nasfuse.spec.recipe import Recipe

ENCODERS = {"v": "mlp", "s": "transformer", "i": "conv"}
ROUTER = {"routes": ["v", "v+s", "v+s+i"], "width": 4}


def built(recipe, dataset):
    return build_network(recipe.network, dataset.modalities, dataset.task)


@pytest.mark.parametrize("router", [None, ROUTER, {**ROUTER, "reads": "inputs", "form": "conv"}])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_formulas_and_counts_are_equal(make_recipe, dataset, fusion, router):
    plain = make_recipe(encoders=ENCODERS, fusion=fusion, router=router).to_plain()
    if fusion == "equilibrium":
        plain["network"]["fusion"] |= {"gradient": "implicit", "max_steps": 16}
    network = built(Recipe.parse(plain), dataset)
    found = check_macs(network, dataset)
    assert found.status == "equal"
    assert not found.failed
    assert found.closed_form == found.counted
    assert list(found.closed_form) == (ROUTER["routes"] if router else ["v+s+i"])
    if fusion != "equilibrium" and router is None:
        assert list(found.closed_form.values()) == network.static_macs({"s": 11, "q": 9}), "of a full-length sample"


@pytest.mark.parametrize("solver", ["anderson", "picard", "broyden"])
@pytest.mark.parametrize("level", ["features", "tokens"])
def test_fixed_points_of_any_solver(make_recipe, dataset, solver, level):
    plain = make_recipe(encoders=ENCODERS).to_plain()
    plain["network"]["fusion"] = {"kind": "equilibrium", "placement": 1, "width": 16, "solver": solver, "level": level}
    network = built(Recipe.parse(plain), dataset)
    before = network.static_macs({"s": 11})
    assert check_macs(network, dataset).status == "equal"
    assert network.static_macs({"s": 11}) == before, "checking leaves the solver as it was"


def test_at_another_setting(make_recipe, dataset):
    network = built(make_recipe(encoders=ENCODERS), dataset)
    whole = check_macs(network, dataset)
    with knobs_at(network.knobs(), {"keep_ratio.s": 0.1}):
        less = check_macs(network, dataset)
    assert (whole.status, less.status) == ("equal", "equal")
    assert less.closed_form["v+s+i"] < whole.closed_form["v+s+i"]


@pytest.mark.parametrize("router", [None, ROUTER])
def test_a_wrong_formula_is_found(make_recipe, dataset, monkeypatch, router):
    monkeypatch.setattr(LinearHead, "macs", lambda self: self.out.in_features * self.out.out_features + 1)
    found = check_macs(built(make_recipe(encoders=ENCODERS, router=router), dataset), dataset)
    assert (found.status, found.failed) == ("differ", True)
    assert found.closed_form.keys() == found.counted.keys()
    (route, macs) = next(iter(found.closed_form.items()))
    assert f"differ ({route}: {macs:,} by formula, {found.counted[route]:,} counted" in str(found)


def test_an_uncounted_operator_is_reported(make_recipe, dataset, monkeypatch):
    def refuse(*_, **__):
        raise UncountedOperatorError("no MACs are known for the operators aten::new")

    monkeypatch.setattr(check, "count_network", refuse)
    found = check_macs(built(make_recipe(), dataset), dataset)
    assert (found.status, found.counted) == ("not counted: no MACs are known for the operators aten::new", {})
    assert found.failed
    assert torch.tensor(list(found.closed_form.values())).gt(0).all()
