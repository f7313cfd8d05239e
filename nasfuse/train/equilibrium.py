"""Networks with an equilibrium in training and evaluation: Jacobian term, statuses of solves, MACs of steps taken."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from nasfuse.cost.network_macs import expected_macs
from nasfuse.data.dataset import Batch, Dataset, Split
from nasfuse.errors import NonFiniteError
from nasfuse.nn.equilibrium import (
    Picard,
    Solved,
    Status,
    equilibrium_layers,
    jacobian_penalty,
    listening,
    saved_macs,
    spectral_radius,
)
from nasfuse.nn.network import Network
from nasfuse.spec.equilibrium import EquilibriumConfig
from nasfuse.train.inference import run_split

#: Number of fixed points whose spectral radius is recorded.
_RADIUS_ROWS = 64


class EquilibriumTerm:
    """Jacobian term of the loss, and the share of backward systems that were solved."""

    def __init__(self, network: Network, config: EquilibriumConfig | None) -> None:
        """Finds the equilibrium layers of `network`; the term is zero if there are none."""
        self._layers = equilibrium_layers(network)
        self._config = config
        self._solves: list[Solved] = []
        self._converged, self._total = 0, 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Collects the solves inside the block for `value` and `note_backward`."""
        self._solves = []
        if not self._layers:
            yield
            return
        with listening(self._layers) as self._solves:
            yield

    def value(self) -> Tensor | float:
        """Returns the Jacobian term of the collected solves; 0 in the steps that omit it (`jacobian_frequency`)."""
        config = self._config
        if not self._solves or config is None or config.jacobian_weight == 0:
            return 0.0
        if config.jacobian_frequency < 1 and float(torch.rand(())) >= config.jacobian_frequency:
            return 0.0
        penalties = [jacobian_penalty(solved) for solved in self._solves]
        return config.jacobian_weight * torch.stack(penalties).sum()

    def note_backward(self) -> None:
        """Counts the statuses of the backward systems of the collected solves; called after the backward pass."""
        for solved in self._solves:
            for solution in solved.backward:
                self._converged += int((solution.status == Status.CONVERGED).sum())
                self._total += len(solution.status)
        self._solves = []

    def start_epoch(self) -> None:
        """Sets the counts to 0."""
        self._converged, self._total = 0, 0

    @property
    def backward_converged(self) -> float | None:
        """Share of backward systems since `start_epoch` that were solved; None if there were none."""
        return self._converged / self._total if self._total else None


def measured_macs(network: Network, split: Split, dataset: Dataset, *, device: torch.device) -> float:
    """Returns the expected multiply-accumulates per sample, with the solver steps that the samples of `split` take."""
    macs = float(expected_macs(network, dataset))
    if not equilibrium_layers(network):
        return macs

    def saved(batch: Batch) -> Tensor:
        return saved_macs(_solves(network, batch), len(batch.targets))

    return macs - float(torch.cat(run_split(network, split, saved, device=device)).mean())


@dataclass(frozen=True)
class _Ends:
    """How the solves of one place in a network ended on one batch, and the Jacobian at some of its fixed points."""

    name: str
    status: Tensor
    n_steps: Tensor
    residual: Tensor
    radius: Tensor | None


def record_equilibria(network: Network, dataset: Dataset, *, device: torch.device) -> dict[str, Any]:
    """Returns statistics of the solves of a trained network on validation data; empty without equilibrium layers.

    Per solve: shares of samples (tokens) by status, mean and largest number of steps, median residual, and mean and
    largest spectral radius of the cell's Jacobian at up to 64 fixed points. `worst_macs` are the MACs if all solves
    reach their caps, on the costliest route if there are several.

    Raises:
        NonFiniteError: A solve diverged.
    """
    if not equilibrium_layers(network):
        return {}
    seen: set[str] = set()

    def ends(batch: Batch) -> list[_Ends]:
        solves = _solves(network, batch)
        found = []
        for position, solved in enumerate(solves):
            name = solved.name if len(solves) == len({one.name for one in solves}) else f"{solved.name} ({position})"
            solution = solved.solution
            radius = None if name in seen else spectral_radius(solved, n_rows=_RADIUS_ROWS).cpu()
            seen.add(name)
            found.append(_Ends(name, solution.status.cpu(), solution.n_steps.cpu(), solution.residual.cpu(), radius))
        return found

    by_name: dict[str, list[_Ends]] = defaultdict(list)
    for one in chain.from_iterable(run_split(network, dataset.val, ends, device=device)):
        by_name[one.name].append(one)
    return {
        "solves": {name: _summary(name, parts) for name, parts in by_name.items()},
        "worst_macs": expected_macs(network, dataset, route=-1),
        "macs_per_step": _macs_per_step(network, dataset),
    }


def _macs_per_step(network: Network, dataset: Dataset) -> int:
    """Returns the mean multiply-accumulates of one step of all solves, without those of the solvers."""
    layers = equilibrium_layers(network)
    before = [(layer.solver, layer.inference_rule) for layer in layers]
    macs = []
    try:
        for n_steps in (1, 2):
            for layer in layers:
                layer.solver, layer.inference_rule = Picard(), replace(layer.inference_rule, max_steps=n_steps)
            macs.append(expected_macs(network, dataset, route=-1))
    finally:
        for layer, (solver, rule) in zip(layers, before, strict=True):
            layer.solver, layer.inference_rule = solver, rule
    return macs[1] - macs[0]


def _summary(name: str, parts: Sequence[_Ends]) -> dict[str, float]:
    status, n_steps = torch.cat([part.status for part in parts]), torch.cat([part.n_steps for part in parts])
    radius = torch.cat([part.radius for part in parts if part.radius is not None])
    n_diverged = int((status == Status.DIVERGED).sum())
    if n_diverged:
        share = n_diverged / len(status)
        raise NonFiniteError(f"the solver of {name} {Status.DIVERGED.advice}: {share:.2%} of its validation states")
    return {
        **{one.name.lower(): round(float((status == one).double().mean()), 4) for one in Status},
        "mean_steps": round(float(n_steps.double().mean()), 3),
        "max_steps": int(n_steps.max()),
        "median_residual": float(torch.cat([part.residual for part in parts]).median()),
        "spectral_radius": round(float(radius.mean()), 4),
        "largest_spectral_radius": round(float(radius.max()), 4),
    }


def _solves(network: Network, batch: Batch) -> list[Solved]:
    """Returns the solves of one pass of `network`."""
    with listening(equilibrium_layers(network)) as solves:
        network(batch.inputs, batch.masks, present=batch.present)
    return solves
