"""Tables of routes, drawn at random or told by hand, data on which routing pays, and what trainings have in common."""

import numpy as np
import pytest
import torch

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.sources.digits import load_digits
from nasfuse.domain.modality import Task
from nasfuse.nn.routing.calibration import Calibration
from nasfuse.spec.recipe import Recipe
from nasfuse.train.gate_table import GateTable


@pytest.fixture(scope="session")
def make_table():
    """Tables in which every sample costs more on a later route, by its own amounts."""

    def make(
        *,
        n_samples=30,
        n_routes=3,
        seed=0,
        router_macs=7,
        gate=None,
        outputs=None,
        targets=None,
        macs=None,
        metric="accuracy",
        task=None,
    ):
        """`macs`: of each route without the router, the same for every sample."""
        task = task or Task("multiclass", 4)
        generator = torch.Generator().manual_seed(seed)
        steps = torch.randint(1, 50, (n_samples, n_routes), generator=generator)
        static = steps.cumsum(dim=1) if macs is None else torch.tensor([macs]).expand(n_samples, -1)
        costs = static.double().mean(dim=0)
        relative = (costs - costs[0]) / (costs[-1] - costs[0]).clamp_min(1.0)
        n_routes = static.shape[1]
        if gate is None:
            gate = 3 * torch.randn(n_samples, n_routes, generator=generator)
        if outputs is None:
            outputs = torch.randn(n_samples, n_routes, task.n_outputs, generator=generator)
        if targets is None:
            targets = torch.randint(task.n_outputs, (n_samples,), generator=generator)
        return GateTable(
            names=tuple("abcdef"[:n_routes]),
            gate=gate,
            digests=outputs,
            macs=static + router_macs,
            static_macs=static,
            relative_costs=relative,
            targets=targets,
            metric=metric,
            task=task,
            calibration=Calibration.identity(n_routes),
        )

    return make


@pytest.fixture(scope="session")
def settled():
    """600 samples: where v[1] > 0, the sign of v[0] is the class; elsewhere only s tells it."""
    rng = np.random.default_rng(0)
    flag, bit, other = rng.integers(0, 2, (3, 600))
    vector = 0.3 * rng.normal(size=(600, 6)).astype(np.float32)
    sequence = 0.3 * rng.normal(size=(600, 11, 5)).astype(np.float32)
    vector[:, 1] += 2 * flag - 1
    vector[:, 0] += (2 * bit - 1) * flag
    sequence[:, :, 0] += (2 * other - 1)[:, None]
    return build_dataset(
        "settled",
        {"v": ModalityArrays("vector", vector), "s": ModalityArrays("sequence", sequence)},
        targets=np.where(flag, bit, 2 + other),
        task="multiclass",
    )


@pytest.fixture(scope="session", params=["cheap_route", "inputs"])
def equal_routes(request):
    """A recipe and the digits, whose halves are of one shape: to look at the left one costs as much as the right."""
    network = {
        "route": ["left", "right"],
        "streams": {name: {"encoder": "mlp", "width": 8} for name in ("left", "right")},
        "fusion": {"kind": "concat", "width": 8},
        "router": {"routes": ["left", "right"], "reads": request.param},
    }
    return Recipe.parse({"data": {"source": "digits"}, "network": network, "training": {"epochs": 2}}), load_digits()


@pytest.fixture(scope="session")
def make_sparse(make_recipe):
    """Recipes of two token streams whose reducers have one kind and ratio each."""

    def make(kind="max", ratio=0.5, *, at=1, fusion_reducer=None, fusion="joint_tokens", **training):
        recipe = make_recipe(encoders={"s": "transformer", "i": "transformer"}, fusion=fusion, **training)
        plain = recipe.to_plain()
        for stream in plain["network"]["streams"].values():
            stream["reducer"] = {"kind": kind, "keep_ratio": ratio, "at": at}
        if fusion_reducer:
            plain["network"]["fusion"]["reducer"] = fusion_reducer
        return Recipe.parse(plain)

    return make


@pytest.fixture(scope="session")
def assert_same():
    """Asserts that two trainings gave the same network and the same curve."""

    def check(first, second):
        states = first.network.state_dict(), second.network.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        for one, other in zip(first.curve, second.curve, strict=True):
            assert (one.epoch, one.train_loss, one.val_loss, one.val_metric) == (
                other.epoch,
                other.train_loss,
                other.val_loss,
                other.val_metric,
            )
        assert first.chosen.epoch == second.chosen.epoch
        assert first.status == second.status

    return check


@pytest.fixture(scope="session")
def differ():
    """Whether two trainings gave different weights."""

    def check(first, second):
        states = first.network.state_dict(), second.network.state_dict()
        return any(not torch.equal(states[0][key], states[1][key]) for key in states[0])

    return check
