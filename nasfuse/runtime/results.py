"""Predictions of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.runtime.program import Outputs
from nasfuse.runtime.tasks import predicted, probabilities

Array = NDArray[Any]


@dataclass(frozen=True)
class Results:
    """Predictions for n samples.

    Attributes:
        names: Names of the classes, labels or numbers; their numbers if they have none.
        has_names: Whether the classes have names.
        values: (n,) numbers of classes, (n, k) zeros and ones, or (n, k) numbers in the unit of the data; float64. Of
            label maps (n, H, W) uint8 numbers of classes.
        probabilities: (n, k) probabilities of classes or labels, (n, k, H, W) of label maps; None for a regression.
        routes: (n,) names of the routes; None for a static network.
        n_steps: (n,) solver steps; None without a solver, or if samples have fixed points of several tokens.
        numbers: Number that each class of label maps has in the data of the training; empty for other tasks.
    """

    names: tuple[str, ...]
    has_names: bool
    values: Array
    probabilities: Array | None
    routes: Array | None
    n_steps: Array | None
    numbers: tuple[int, ...] = ()

    @property
    def named(self) -> Array:
        """Predictions in the form of the targets: names or numbers of classes (n,), else `values`.

        A single number is (n,), not (n, 1). Label maps have the numbers of the data.
        """
        if self.numbers:
            return np.array(self.numbers, np.uint8)[self.values]
        if self.values.ndim == 2:
            return self.values[:, 0] if self.probabilities is None and self.values.shape[1] == 1 else self.values
        numbers = self.values.astype(np.int64)
        return np.array(self.names)[numbers] if self.has_names else numbers


def results_of(manifest: Mapping[str, Any], outputs: Outputs) -> Results:
    """Returns the predictions for the outputs of a network."""
    task, scale = manifest["task"]["kind"], manifest["target_scale"]
    values = predicted(task, outputs.values)
    if scale is not None:
        values = values * np.asarray(scale["std"]) + np.asarray(scale["mean"])
    names = tuple(manifest["class_names"])
    routes, only = None, manifest["program"]["only_route"]
    if only is not None:
        routes = np.full(len(values), only, dtype=object)
    elif outputs.routes is not None:
        routes = np.array(manifest["program"]["router"]["routes"], dtype=object)[outputs.routes]
    return Results(
        names=names or tuple(str(number) for number in range(manifest["task"]["n_outputs"])),
        has_names=bool(names),
        values=values,
        probabilities=probabilities(task, outputs.values),
        routes=routes,
        n_steps=outputs.n_steps,
        numbers=tuple(manifest.get("class_numbers", ())),
    )
