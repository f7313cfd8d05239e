"""The base of the suites of torch modules: seeded tests, and checks that hold for any module."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

#: Devices that a module is tested on.
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


class ModuleSuite:
    """Seeds torch's generator before every test and restores it afterwards."""

    @pytest.fixture(autouse=True)
    def _seeded(self) -> Iterator[None]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            yield


def assert_seeded(make: Callable[[], nn.Module]) -> None:
    """Asserts that torch's generator alone decides the initial weights of what `make` builds.

    A module without parameters passes.
    """
    first, second, other = (_built(make, seed).state_dict() for seed in (1, 1, 2))
    assert first.keys() == second.keys()
    for key, values in first.items():
        assert torch.equal(values, second[key]), f"{key} differs between two modules built from one seed"
    assert not first or any(not torch.equal(values, other[key]) for key, values in first.items()), (
        "another seed gives the same weights"
    )


def assert_restored(make: Callable[[], nn.Module], run: Callable[[Any], torch.Tensor]) -> None:
    """Asserts that a second module with the state of the first gives the outputs of the first.

    Args:
        make: Builds the module.
        run: Returns the output of a module for inputs that are the same in every call.
    """
    first, second = _built(make, 1).eval(), _built(make, 2).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(run(first), run(second)), "the state dictionary does not hold all that the outputs depend on"


def randomise(module: nn.Module, scale: float) -> None:
    """Adds normal noise of standard deviation `scale` to every parameter, zeros of initialisation included."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))


def _built(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make()
