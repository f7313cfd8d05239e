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
from nasfuse.nn.equilibrium import FixedPointLayer, equilibrium_layers
from nasfuse.prediction.outputs import outputs_of
from nasfuse.runtime import Bundle
from nasfuse.train.inference import batches_in_order

#: Largest difference of outputs, relative to the largest output, that rounding explains.
TOLERANCE = 1e-4

#: Largest share of samples that may be decided differently, because a value is within rounding of a threshold.
_MOST_BORDERLINE = 0.01

#: Samples that are also computed one at a time.
_N_SINGLE = 8


@dataclass(frozen=True)
class Parity:
    """Differences between a bundle and its network.

    Attributes:
        n_samples: Number of samples that were compared.
        n_borderline: Samples that take another route or another number of solver steps, and in a network with solvers
            those whose outputs differ by more than `allowed`.
        difference: Largest absolute difference of the outputs of the other samples.
        allowed: Largest difference that is accepted.
        network: (n, n_outputs) outputs of the network.
        bundle: (n, n_outputs) outputs of the bundle.
    """

    n_samples: int
    n_borderline: int
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
            "difference": self.difference,
            "allowed": self.allowed,
        }


def compare(network: Network, bundle: Bundle, inputs: RawInputs, samples: Split) -> Parity:
    """Returns the differences on the samples, of which the first ones are also computed one at a time.

    The allowed difference is 1e-4 of the largest output. Two solutions that both end at the tolerance of a solver may
    differ by as much, and rounding grows in the steps of a map that is no contraction: of a network with solvers, the
    allowed difference is at least the tolerance, and at least twice the difference that one rounding of the inputs
    makes to the outputs of the network itself. Samples beyond count as decided differently there, as those that do not
    converge may end anywhere.

    Args:
        network: On the CPU.
        bundle: Its bundle.
        inputs: Inputs of the bundle.
        samples: Samples of the data of the network.
    """
    expected = outputs_of(network, samples, device=torch.device("cpu"))
    values, differs = [], np.zeros(len(samples), bool)
    for rows in batches_in_order(samples, names=network.stream_names):
        raw = _numpy(inputs.of_samples(samples, rows))
        found = bundle.run(raw)
        values.append(found.values)
        for mine, theirs in ((found.routes, expected.routes), (found.n_steps, expected.n_steps)):
            if mine is not None and theirs is not None:
                differs[rows.numpy()] |= mine != theirs[rows].numpy()
        if rows[0] == 0:
            _check_single(bundle, raw, found.values, differs)
    own, other = np.concatenate(values), expected.values.numpy()
    allowed = _allowed(network, inputs, samples, expected.values)
    if _solvers(network):  # of a sample that does not converge, rounding decides the last iterate
        differs |= np.abs(own - other).max(axis=1) > allowed
    same = ~differs
    difference = float(np.abs(own - other)[same].max()) if same.any() else 0.0
    return Parity(
        n_samples=len(samples),
        n_borderline=int(differs.sum()),
        difference=difference if np.isfinite(own).all() else float("inf"),
        allowed=allowed,
        network=expected.values,
        bundle=torch.from_numpy(own),
    )


def _solvers(network: Network) -> list[FixedPointLayer]:
    return [layer for layer in equilibrium_layers(network) if layer.gradient.kind != "unroll"]


def _allowed(network: Network, inputs: RawInputs, samples: Split, outputs: Tensor) -> float:
    """Returns the allowed difference, see `compare`."""
    largest = max(1.0, float(outputs.abs().max()))
    layers = _solvers(network)
    if not layers:
        return TOLERANCE * largest
    tolerance = max(TOLERANCE, *(layer.inference_rule.tolerance for layer in layers))
    changed = []
    with torch.no_grad():
        for rows in batches_in_order(samples, names=network.stream_names):
            values, masks, present = inputs(inputs.of_samples(samples, rows))
            rounded = {
                name: one * (1 + torch.finfo(one.dtype).eps) if one.is_floating_point() else one
                for name, one in values.items()
            }
            changed.append(network(rounded, masks, present=present))
    return max(tolerance * largest, 2 * float((torch.cat(changed) - outputs).abs().max()))


def _numpy(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _check_single(
    bundle: Bundle, raw: Mapping[str, NDArray[Any]], values: NDArray[Any], differs: NDArray[np.bool_]
) -> None:
    """Marks samples whose outputs are others in a batch of one."""
    for row in range(min(_N_SINGLE, len(values))):
        alone = bundle.run({name: one[row : row + 1] for name, one in raw.items()}).values
        allowed = 10 * TOLERANCE * max(1.0, float(np.abs(values[row]).max()))
        differs[row] |= float(np.abs(alone - values[row]).max()) > allowed
