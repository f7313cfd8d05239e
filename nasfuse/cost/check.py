"""The check of the closed forms: what a network costs by its own formulas beside what fvcore counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from nasfuse.cost.counter import count_network
from nasfuse.data.dataset import Batch, Dataset
from nasfuse.errors import UncountedOperatorError
from nasfuse.nn.equilibrium import Picard, equilibrium_layers
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork

#: Steps of every solve while a network is counted, at most.
_STEPS = 3


@dataclass(frozen=True)
class MacsCheck:
    """The multiply-accumulates of a full-length sample, twice.

    Attributes:
        closed_form: Route to what its formulas give, the router included; a static network has one route.
        counted: Route to what fvcore counts in a forward pass; empty where it cannot.
        status: `equal`, `differ`, or `not counted: ` with the reason.
    """

    closed_form: dict[str, int]
    counted: dict[str, int]
    status: str

    @property
    def failed(self) -> bool:
        """Whether formulas and count differ, or there is no count."""
        return self.status != "equal"

    def to_plain(self) -> dict[str, Any]:
        """Returns the check as plain mappings."""
        return {"macs_closed_form": self.closed_form, "macs_counted": self.counted, "macs_status": self.status}

    def __str__(self) -> str:
        """One line for a terminal."""
        if not self.counted:
            return f"MACs {self.status}"
        routes = [
            f"{name}: {macs:,} by formula, {self.counted[name]:,} counted" for name, macs in self.closed_form.items()
        ]
        return f"MACs of a full-length sample {self.status} ({'; '.join(routes)})"


def check_macs(network: Network, dataset: Dataset) -> MacsCheck:
    """Returns the multiply-accumulates of `network` in closed form and counted, at its own setting.

    One sample of full length on every route. Fixed points are counted with at most three plain steps each, in both
    figures: how many steps a sample takes is no matter of a formula, and fvcore does not see the inner products of
    solvers.
    """
    lengths = {m.name: m.shape[0] for m in dataset.modalities if m.kind == "sequence"}
    batch = _full_sample(network, dataset)
    network.eval()
    with _few_plain_steps(network):
        if isinstance(network, RoutedNetwork):
            closed = dict(zip(network.route_names, network.route_macs(lengths), strict=True))
            routes: list[int | None] = list(range(len(closed)))
        else:
            closed = {"+".join(network.stream_names): network.static_macs(lengths)[0]}
            routes = [None]
        try:
            counts = [count_network(network, batch, route=route) for route in routes]
        except UncountedOperatorError as error:
            return MacsCheck(closed, {}, f"not counted: {error}")
    counted = dict(zip(closed, counts, strict=True))
    return MacsCheck(closed, counted, "equal" if counted == closed else "differ")


def _full_sample(network: Network, dataset: Dataset) -> Batch:
    """Returns the first training sample with every step taken for real."""
    lengths = {m.name: m.shape[0] for m in dataset.modalities if m.kind == "sequence"}
    batch = dataset.train.batch(torch.arange(1), names=network.stream_names)
    inputs, masks = dict(batch.inputs), dict(batch.masks)
    for name in masks:
        values = inputs[name]
        missing = lengths[name] - values.shape[1]
        inputs[name] = torch.cat([values, values.new_zeros(1, missing, *values.shape[2:])], dim=1)
        masks[name] = torch.ones(1, lengths[name], dtype=torch.bool)
    return Batch(inputs, masks, batch.targets).to(next(network.parameters()).device)


@contextmanager
def _few_plain_steps(network: Network) -> Iterator[None]:
    layers = [layer for layer in equilibrium_layers(network) if layer.gradient.kind != "unroll"]
    before = [(layer.solver, layer.inference_rule) for layer in layers]
    try:
        for layer in layers:
            steps = min(layer.inference_rule.max_steps, _STEPS)
            layer.solver, layer.inference_rule = (
                Picard(),
                replace(layer.inference_rule, tolerance=1e-30, max_steps=steps),
            )
        yield
    finally:
        for layer, (solver, rule) in zip(layers, before, strict=True):
            layer.solver, layer.inference_rule = solver, rule
