"""Predictions for new data in the form that people use: class names, probabilities, numbers in the unit of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasfuse.prediction.outputs import Outputs
from nasfuse.prediction.saved_network import SavedNetwork
from nasfuse.tasks import task_kind

if TYPE_CHECKING:
    import pandas

Array = NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """Predictions for all rows of new data, in their order. Rows without a prediction are NaN, None or -1.

    Attributes:
        output_names: Names of the classes, labels or numbers; their numbers if they have none.
        has_names: Whether the classes have names.
        values: (n,) numbers of classes, (n, k) zeros and ones, or (n, k) numbers in the unit of the data; float64.
        probabilities: (n, k) probabilities of classes or labels, float64; None for a regression.
        routes: (n,) names of the routes, None in rows without a prediction; None for a static network.
        n_steps: (n,) solver steps, see `Outputs.n_steps`, -1 in rows without a prediction; None without a solver.
        problems: Why a row has no prediction, by row.
    """

    output_names: tuple[str, ...]
    has_names: bool
    values: Array
    probabilities: Array | None
    routes: Array | None
    n_steps: Array | None
    problems: dict[int, str]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.values)

    @property
    def named(self) -> Array:
        """Predictions in the form of the targets: names or numbers of classes (n,), else `values`.

        A single number is (n,), not (n, 1).
        """
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
        there are rows without a prediction.
        """
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
    kind = task_kind(saved.task.kind)
    is_finite = torch.isfinite(outputs.values).all(dim=1)
    rows = np.asarray(rows)
    problems = dict(problems)
    problems.update(dict.fromkeys(rows[~is_finite.numpy()].tolist(), "the outputs of the network are not finite"))
    values, rows = outputs.values[is_finite].double(), rows[is_finite.numpy()]
    logs = kind.log_probabilities(values)
    predicted = kind.predict(values).double()
    if saved.target_scale is not None:
        predicted = predicted * saved.target_scale.std + saved.target_scale.mean
    routes = n_steps = None
    if outputs.routes is not None:
        names = np.array(saved.route_names, dtype=object)
        routes = _spread(names[outputs.routes[is_finite].numpy()], rows, n_rows, empty=None)
    if outputs.n_steps is not None:
        n_steps = _spread(outputs.n_steps[is_finite].numpy(), rows, n_rows, empty=-1)
    return Predictions(
        output_names=saved.output_names,
        has_names=bool(saved.class_names),
        values=_spread(predicted.numpy(), rows, n_rows, empty=np.nan),
        probabilities=None if logs is None else _spread(logs.exp().numpy(), rows, n_rows, empty=np.nan),
        routes=routes,
        n_steps=n_steps,
        problems=dict(sorted(problems.items())),
    )


def _spread(values: Array, rows: Sequence[int] | Array, n_rows: int, *, empty: Any) -> Array:
    """Returns (n_rows, ...) with `values` in `rows` and `empty` elsewhere."""
    found = np.full((n_rows, *values.shape[1:]), empty, dtype=values.dtype)
    found[rows] = values
    return found
