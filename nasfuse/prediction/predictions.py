"""Predictions for new data in the form that people use: class names, probabilities, numbers in the unit of the data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.label_maps import class_numbers
from nasfuse.domain.task import VOID
from nasfuse.prediction.outputs import Outputs
from nasfuse.prediction.saved_network import SavedNetwork
from nasfuse.tasks import task_kind

if TYPE_CHECKING:
    import pandas

Array = NDArray[Any]

_NOT_FINITE = "the outputs of the network are not finite"


@dataclass(frozen=True)
class Predictions:
    """Predictions for all rows of new data, in their order. Rows without a prediction are NaN, None or -1.

    Attributes:
        output_names: Names of the classes, labels or numbers; their numbers if they have none.
        has_names: Whether the classes have names.
        values: (n,) numbers of classes, (n, k) zeros and ones, or (n, k) numbers in the unit of the data, float64; of
            label maps (n, H, W) uint8 numbers of classes, `VOID` in rows without a prediction.
        probabilities: (n, k) probabilities of classes or labels, float64; None for a regression. Of label maps
            (n, k, H, W) float32, or None if they were not asked for.
        routes: (n,) names of the routes, None in rows without a prediction; None for a static network.
        n_steps: (n,) solver steps, see `Outputs.n_steps`, -1 in rows without a prediction; None without a solver.
        problems: Why a row has no prediction, by row.
        numbers: Number that each class of label maps has in the data of the training; empty for other tasks.
    """

    output_names: tuple[str, ...]
    has_names: bool
    values: Array
    probabilities: Array | None
    routes: Array | None
    n_steps: Array | None
    problems: dict[int, str]
    numbers: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.values)

    @property
    def named(self) -> Array:
        """Predictions in the form of the targets: names or numbers of classes (n,), else `values`.

        A single number is (n,), not (n, 1). Label maps have the numbers of the data.
        """
        if self.numbers:
            table = np.full(VOID + 1, VOID, np.uint8)
            table[: len(self.numbers)] = self.numbers
            return table[self.values]
        if self.values.ndim == 2:
            return self.values[:, 0] if self.probabilities is None and self.values.shape[1] == 1 else self.values
        if not self.has_names and not self.problems:
            return self.values.astype(np.int64)
        names = self.output_names if self.has_names else range(len(self.output_names))
        if not self.problems:
            return np.array(names)[self.values.astype(np.int64)]
        numbers = np.where(np.isnan(self.values), len(names), self.values).astype(np.int64)
        return np.array([*names, None], dtype=object)[numbers]

    def columns(self) -> dict[str, Array]:
        """Returns the columns of a table with one row for each row of the data.

        `prediction` is the name of the class, or the number; of several labels or numbers there is one column each,
        `prediction_NAME`. `probability_NAME` follow for classes and labels, then `route`, `steps`, and `problem` if
        there are rows without a prediction. Of label maps, there is `share_NAME`, the share of the pixels of a class.
        """
        if self.numbers:
            return {**self._shares(), **self._details()}
        named, columns = self.named, {}
        if named.ndim == 1:
            columns["prediction"] = named
        else:
            columns.update({f"prediction_{name}": named[:, k] for k, name in enumerate(self.output_names)})
        if self.probabilities is not None:
            by_name = zip(self.output_names, self.probabilities.T, strict=True)
            columns.update({f"probability_{name}": values for name, values in by_name})
        return {**columns, **self._details()}

    def arrays(self) -> dict[str, Array]:
        """Returns the arrays of an `.npz` file: `prediction`, `probabilities` (n, k), `names` (k,) and the rest."""
        named = self.named
        arrays: dict[str, Array] = {
            "prediction": _text(named) if named.dtype == object else named,
            "names": np.array(self.output_names),
        }
        if self.probabilities is not None:
            arrays["probabilities"] = self.probabilities
        return {**arrays, **{name: _text(v) if v.dtype == object else v for name, v in self._details().items()}}

    def frame(self) -> "pandas.DataFrame":
        """Returns `columns` as a pandas table, with missing values in rows without a prediction."""
        import pandas

        frame = pandas.DataFrame(self.columns())
        if "steps" in frame:
            frame["steps"] = frame["steps"].astype("Int64").mask(frame["steps"] < 0)
        return frame

    def _shares(self) -> dict[str, Array]:
        counts = np.array([np.bincount(one.reshape(-1), minlength=VOID + 1) for one in self.values], np.float64)
        n_pixels = np.prod(self.values.shape[1:])
        counts[list(self.problems)] = np.nan
        return {f"share_{name}": counts[:, k] / n_pixels for k, name in enumerate(self.output_names)}

    def _details(self) -> dict[str, Array]:
        details = {"route": self.routes, "steps": self.n_steps}
        found = {name: values for name, values in details.items() if values is not None}
        if self.problems:
            found["problem"] = np.array([self.problems.get(row) for row in range(len(self))], dtype=object)
        return found


def _text(values: Array) -> Array:
    """Returns text without None, which `.npz` files cannot hold."""
    return np.array(["" if value is None else str(value) for value in values.tolist()])


def predictions_of(
    saved: SavedNetwork, outputs: Outputs, *, rows: Sequence[int] | Array, n_rows: int, problems: Mapping[int, str]
) -> Predictions:
    """Returns the predictions from the outputs of a network.

    Args:
        saved: The network.
        outputs: Outputs for `rows`.
        rows: (k,) rows of the data that have outputs.
        n_rows: Number of all rows.
        problems: Why the other rows have none.
    """
    if saved.task.size is not None:
        return _label_predictions(saved, outputs, rows=rows, n_rows=n_rows, problems=problems)
    kind = task_kind(saved.task.kind)
    is_finite = torch.isfinite(outputs.values).all(dim=1)
    rows = np.asarray(rows)
    problems = dict(problems)
    problems.update(dict.fromkeys(rows[~is_finite.numpy()].tolist(), _NOT_FINITE))
    values, rows = outputs.values[is_finite].double(), rows[is_finite.numpy()]
    logs = kind.log_probabilities(values)
    predicted = kind.predict(values).double()
    if saved.target_scale is not None:
        predicted = predicted * saved.target_scale.std + saved.target_scale.mean
    routes, n_steps = _taken(saved, outputs, is_finite, rows, n_rows)
    return Predictions(
        output_names=saved.output_names,
        has_names=bool(saved.class_names),
        values=_spread(predicted.numpy(), rows, n_rows, empty=np.nan),
        probabilities=None if logs is None else _spread(logs.exp().numpy(), rows, n_rows, empty=np.nan),
        routes=routes,
        n_steps=n_steps,
        problems=dict(sorted(problems.items())),
    )


def kept_maps(saved: SavedNetwork, *, with_probabilities: bool) -> Callable[[Tensor], Tensor]:
    """Returns what is kept of the outputs (b, k, H, W) of a network for label maps.

    The result is a function that returns (b, 1, H, W) uint8 classes, `VOID` where outputs of a sample are not finite;
    with probabilities, (b, k, H, W) float32, which are NaN there.
    """
    kind = task_kind(saved.task.kind)

    def kept(outputs: Tensor) -> Tensor:
        is_bad = ~torch.isfinite(outputs).flatten(1).all(dim=1)[:, None, None, None]
        if not with_probabilities:
            return kind.predict(outputs)[:, None].to(torch.uint8).masked_fill(is_bad, VOID)
        logs = kind.log_probabilities(outputs)
        assert logs is not None, "classes have probabilities"
        return logs.exp().masked_fill(is_bad, torch.nan)

    return kept


def _label_predictions(
    saved: SavedNetwork, outputs: Outputs, *, rows: Sequence[int] | Array, n_rows: int, problems: Mapping[int, str]
) -> Predictions:
    """Returns the predictions of label maps, from what `kept_maps` keeps."""
    rows, kept = np.asarray(rows), outputs.values
    if kept.dtype == torch.uint8:
        is_finite, probabilities, maps = kept.flatten(1).amin(dim=1) < VOID, None, kept[:, 0]
    else:
        is_finite = ~kept.isnan().flatten(1).any(dim=1)
        probabilities = _spread(kept[is_finite].numpy(), rows[is_finite.numpy()], n_rows, empty=np.nan)
        maps = kept.argmax(dim=1).to(torch.uint8)
    not_finite = dict.fromkeys(rows[~is_finite.numpy()].tolist(), _NOT_FINITE)
    rows = rows[is_finite.numpy()]
    routes, n_steps = _taken(saved, outputs, is_finite, rows, n_rows)
    return Predictions(
        output_names=saved.output_names,
        has_names=bool(saved.class_names),
        values=_spread(maps[is_finite].numpy(), rows, n_rows, empty=VOID),
        probabilities=probabilities,
        routes=routes,
        n_steps=n_steps,
        problems=dict(sorted({**not_finite, **problems}.items())),
        numbers=class_numbers(saved.recipe.data, saved.task.n_outputs),
    )


def _taken(
    saved: SavedNetwork, outputs: Outputs, is_finite: Tensor, rows: Sequence[int] | Array, n_rows: int
) -> tuple[Array | None, Array | None]:
    """Returns the routes and the solver steps of all rows, of which `rows` have finite outputs."""
    routes = n_steps = None
    if outputs.routes is not None:
        names = np.array(saved.route_names, dtype=object)
        routes = _spread(names[outputs.routes[is_finite].numpy()], rows, n_rows, empty=None)
    if outputs.n_steps is not None:
        n_steps = _spread(outputs.n_steps[is_finite].numpy(), rows, n_rows, empty=-1)
    return routes, n_steps


def _spread(values: Array, rows: Sequence[int] | Array, n_rows: int, *, empty: Any) -> Array:
    """Returns (n_rows, ...) with `values` in `rows` and `empty` elsewhere."""
    found = np.full((n_rows, *values.shape[1:]), empty, dtype=values.dtype)
    found[rows] = values
    return found
