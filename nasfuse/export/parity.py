"""Comparison of a bundle with its network on the same samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data import Split
from nasfuse.deployment import RawInputs
from nasfuse.errors import DeploymentError
from nasfuse.nn import Network
from nasfuse.nn.equilibrium import equilibrium_layers
from nasfuse.prediction.outputs import Outputs, outputs_of
from nasfuse.runtime import Bundle
from nasfuse.train.inference import batches_in_order

#: Largest difference of outputs, relative to the largest output, that rounding explains.
TOLERANCE = 1e-4

#: Largest share of samples that may be decided differently, because a value is within rounding of a threshold.
_MOST_BORDERLINE = 0.001

#: Samples that are also computed one at a time.
_N_SINGLE = 8

#: Times that inputs are rounded to find sensitive samples.
_N_ROUNDINGS = 3

#: Sensitive samples may differ by this many times the largest change that rounding of the inputs makes to one of them.
_SENSITIVE_FACTOR = 10


@dataclass(frozen=True)
class Parity:
    """Differences between a bundle and its network, on the routes that the network takes.

    Attributes:
        n_samples: Number of samples that were compared.
        n_borderline: Samples that take another route, or whose solver stops at another step and whose outputs
            therefore differ by more than `allowed`.
        n_sensitive: Samples whose outputs are decided by rounding, see `compare`; they may differ by more.
        change: Largest change that rounding of the inputs makes to the outputs of the network itself; 0 without a
            solver.
        difference: Largest absolute difference of the outputs of the other samples.
        allowed: Largest difference that is accepted.
        network: (n, n_outputs) outputs of the network, or maps.
        bundle: The same of the bundle, on its own routes.
    """

    n_samples: int
    n_borderline: int
    n_sensitive: int
    change: float
    difference: float
    allowed: float
    network: Tensor
    bundle: Tensor

    @property
    def holds(self) -> bool:
        """Whether the bundle is the network, up to rounding."""
        few = self.n_borderline <= max(_MOST_BORDERLINE * self.n_samples, 1)
        return few and self.difference <= self.allowed

    def check(self) -> None:
        """Raises an error unless the bundle is the network.

        Raises:
            DeploymentError: It differs by more than rounding.
        """
        if not self.holds:
            raise DeploymentError(
                f"the bundle differs from the network: by up to {self.difference:.2g} ({self.allowed:.2g} is allowed), "
                f"with other routes or solver steps in {self.n_borderline} of {self.n_samples} samples; it was not "
                "written. Please report the recipe as a fault of nasfuse; `nasfuse predict` runs the network itself"
            )

    def to_plain(self) -> dict[str, Any]:
        """Returns the figures for the manifest."""
        return {
            "n_samples": self.n_samples,
            "n_borderline": self.n_borderline,
            "n_sensitive": self.n_sensitive,
            "change": self.change,
            "difference": self.difference,
            "allowed": self.allowed,
        }


def compare(network: Network, bundle: Bundle, inputs: RawInputs, samples: Split) -> Parity:
    """Returns the differences on the samples, of which the first ones are also computed one at a time.

    The allowed difference is 1e-4 of the largest output. Solvers that do not converge amplify rounding from step to
    step, so the outputs of such samples are not even those of the same network on another machine. A sample is
    sensitive if rounding of its inputs changes the outputs of the network itself by more than a tenth of the allowed
    difference.

    Args:
        network: On the CPU.
        bundle: Its bundle.
        inputs: Inputs of the bundle.
        samples: Samples of the data of the network.
    """
    expected = outputs_of(network, samples, device=torch.device("cpu"))
    allowed = TOLERANCE * max(1.0, float(expected.values.abs().max()))
    values, distances, other_routes, other_steps = [], [], [], []
    for rows in batches_in_order(samples, names=network.stream_names):
        raw = {name: tensor.numpy() for name, tensor in inputs.of_samples(samples, rows).items()}
        routes = None if expected.routes is None else expected.routes[rows].numpy()
        n_steps = None if expected.n_steps is None else expected.n_steps[rows].numpy()
        found = bundle.run(raw)
        values.append(found.values)
        other_routes.append(_differs(found.routes, routes, len(rows)))
        found = bundle.run(raw, routes) if other_routes[-1].any() else found
        other_steps.append(_differs(found.n_steps, n_steps, len(rows)))
        n_single = min(_N_SINGLE, len(rows)) if rows[0] == 0 else 0
        single = [_alone(bundle, raw, routes, row) for row in range(n_single)]
        wanted = expected.values[rows].numpy()
        distance = np.abs(found.values - wanted).reshape(len(rows), -1).max(axis=1)
        for row, own in enumerate(single):
            distance[row] = np.maximum(distance[row], np.abs(own - wanted[row]).max())
        distances.append(np.where(np.isfinite(distance), distance, np.inf))
    distance, stops_elsewhere = np.concatenate(distances), np.concatenate(other_steps)
    change = _changes(network, inputs, samples, expected)
    excused = (change > allowed / 10) & (distance <= _SENSITIVE_FACTOR * change.max())
    borderline = stops_elsewhere & (distance > allowed) & ~excused
    return Parity(
        n_samples=len(samples),
        n_borderline=int((np.concatenate(other_routes) | borderline).sum()),
        n_sensitive=int(excused.sum()),
        change=float(change.max()),
        difference=float(distance[~excused & ~borderline].max(initial=0.0)),
        allowed=allowed,
        network=expected.values,
        bundle=torch.from_numpy(np.concatenate(values)),
    )


def _differs(mine: NDArray[np.int64] | None, theirs: NDArray[np.int64] | None, n_samples: int) -> NDArray[np.bool_]:
    return np.zeros(n_samples, bool) if mine is None or theirs is None else mine != theirs


def _alone(bundle: Bundle, raw: Mapping[str, NDArray[Any]], routes: NDArray[np.int64] | None, row: int) -> NDArray[Any]:
    """Returns the outputs (n_outputs,) of one sample in a batch of one."""
    own = slice(row, row + 1)
    found = bundle.run({name: one[own] for name, one in raw.items()}, None if routes is None else routes[own])
    return np.asarray(found.values[0])


def _changes(network: Network, inputs: RawInputs, samples: Split, expected: Outputs) -> NDArray[np.float64]:
    """Returns the largest change (n,) that rounding of the inputs, up or down at random, makes to outputs.

    It is 0 without a solver, where rounding is not amplified.
    """
    found = np.zeros(len(samples))
    if all(layer.gradient.kind == "unroll" for layer in equilibrium_layers(network)):
        return found
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for rows in batches_in_order(samples, names=network.stream_names):
            values, masks, present = inputs(inputs.of_samples(samples, rows))
            chosen = {} if expected.routes is None else {"chosen": expected.routes[rows]}
            for _ in range(_N_ROUNDINGS):
                rounded = {name: _rounded(one, generator) for name, one in values.items()}
                outputs = network(rounded, masks, present=present, **chosen)
                change = (outputs - expected.values[rows]).abs().flatten(1).amax(dim=1).numpy()
                found[rows.numpy()] = np.maximum(found[rows.numpy()], change)
    return found


def _rounded(values: Tensor, generator: torch.Generator) -> Tensor:
    if not values.is_floating_point():
        return values
    up = torch.rand(values.shape, generator=generator) < 0.5
    return values * (1 + torch.finfo(values.dtype).eps * torch.where(up, 1, -1))
