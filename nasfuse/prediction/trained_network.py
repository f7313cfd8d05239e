"""A trained network that takes data as they are, and answers with class names or numbers in the unit of the data."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import DataError, InvalidInputError, counted
from nasfuse.prediction.new_data import inputs_of, new_data, warn_of_unknown
from nasfuse.prediction.outputs import outputs_of
from nasfuse.prediction.predictions import Predictions, predictions_of
from nasfuse.prediction.saved_network import SavedNetwork, read_network
from nasfuse.spec.ensemble import AnyRecipe

if TYPE_CHECKING:
    import pandas

#: Largest number of rows that an error lists.
_MOST_LISTED = 10


class TrainedNetwork(nn.Module):
    """A trained network with the preprocessing and the names of its training data.

    All methods take new data without targets: a mapping from names to arrays as in the data file of the training, a
    pandas table with the same columns, a sequence of mappings (one per sample), or the path of a file or folder. Rows
    are those of the data, in their order.

    Attributes:
        network: The network itself, which takes standardised batches.
        recipe: Recipe of the network.
        class_names: Names of the classes or labels; empty for a regression.
        modalities: Modalities that the network reads.
        task: Kind of task and number of outputs.
        val_metric: The recipe's metric on validation data at the end of the training, at operating point 0; None
            without validation data.
        test_metric: The same on the test split; None if it has not been evaluated.
    """

    def __init__(self, saved: SavedNetwork) -> None:
        """Wraps the network of a file."""
        super().__init__()
        self.network = saved.network
        self._saved = saved
        self.recipe: AnyRecipe = saved.recipe
        self.class_names: tuple[str, ...] = () if saved.target_scale is not None else saved.output_names
        self.modalities: tuple[Modality, ...] = tuple(saved.inputs.values())
        self.task: Task = saved.task
        self.val_metric, self.test_metric = saved.val_metric, saved.test_metric

    def forward(self, data: Any) -> Tensor:
        """Returns the outputs (n, n_outputs) float32 on the CPU: logits, or standardised numbers of a regression.

        Raises:
            DataError: The data lack an input or have another form than in the training, or a row cannot be used.
        """
        raw = new_data(data)
        inputs = inputs_of(self._saved, raw)
        warn_of_unknown(self._saved, raw)
        _check_rows(inputs.problems)
        return outputs_of(self.network, inputs.split(), device=self._device()).values

    def predict(self, data: Any) -> NDArray[Any]:
        """Returns names of classes (n,), zeros and ones of labels (n, k), or numbers in the unit of the data.

        Numbers have the shape (n,), or (n, k) if there are k > 1.

        Raises:
            DataError: See `forward`.
        """
        found = self.predictions(data)
        _check_rows(found.problems)
        return found.named

    def predict_proba(self, data: Any) -> NDArray[Any]:
        """Returns the probabilities (n, k) of classes or labels in the order of `class_names`.

        Raises:
            DataError: See `forward`.
            InvalidInputError: The task is a regression.
        """
        found = self.predictions(data)
        if found.probabilities is None:
            raise InvalidInputError(f"the network predicts numbers ({self.task.kind}), not probabilities; use predict")
        _check_rows(found.problems)
        return found.probabilities

    def predict_table(self, data: Any) -> "pandas.DataFrame":
        """Returns a table with the prediction, probabilities, route and solver steps of each row.

        Rows that cannot be used are empty, and the column `problem` has the reason; see `Predictions.columns`. The
        index is that of a pandas table, else the number of the row.

        Raises:
            DataError: The data lack an input or have another form than in the training, or no row can be used.
        """
        import pandas

        frame = self.predictions(data).frame()
        return frame.set_index(data.index) if isinstance(data, pandas.DataFrame) else frame

    def predictions(self, data: Any, *, started: Callable[[int], Callable[[int], None]] | None = None) -> Predictions:
        """Returns the predictions for all rows; rows that cannot be used are empty.

        Args:
            data: New data.
            started: Called with the number of rows that can be used when they have been read; returns a function that
                is called with the number of rows of each batch after it.

        Raises:
            DataError: See `predict_table`.
        """
        raw = new_data(data)
        inputs = inputs_of(self._saved, raw)
        warn_of_unknown(self._saved, raw)
        advance = None if started is None else started(len(inputs.rows))
        outputs = outputs_of(self.network, inputs.split(), device=self._device(), advance=advance)
        return predictions_of(self._saved, outputs, rows=inputs.rows, n_rows=inputs.n_rows, problems=inputs.problems)

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def load_network(path: str | os.PathLike[str], *, point: int = 0, device: str | torch.device = "cpu") -> TrainedNetwork:
    """Returns a trained network, which needs neither the training data nor the folder it was trained in.

    Args:
        path: A `model.pt` of `train` or of a search.
        point: Index P of an operating point of a trial, shown as N:P; 0 is the setting of its recipe.
        device: Device of the network.

    Raises:
        MissingFileError: The file does not exist.
        CheckpointError: The file is damaged, of another version, or no trained network.
        InvalidInputError: The network has no such point.

    Example:
        network = nasfuse.load_network("runs/mine/trials/12/model.pt")
        network.predict({"photo": photos, "notes": notes})
    """
    return TrainedNetwork(read_network(Path(path), point=point, device=torch.device(device)))


def _check_rows(problems: dict[int, str]) -> None:
    if not problems:
        return
    listed = [f"row {row}, {reason}" for row, reason in list(problems.items())[:_MOST_LISTED]]
    more = f" and {len(problems) - len(listed)} more" if len(problems) > len(listed) else ""
    raise DataError(
        f"{counted(len(problems), 'row')} cannot be used: {'; '.join(listed)}{more}; correct or remove them, or use "
        "predict_table, which leaves them empty"
    )
