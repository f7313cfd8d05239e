"""What all networks have that take data as they are: predictions as class names, probabilities and tables."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor, nn

from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import DataError, InvalidInputError, counted
from nasfuse.prediction.predictions import Predictions
from nasfuse.prediction.unusable_rows import row_text

if TYPE_CHECKING:
    import pandas

#: Largest number of rows that an error lists.
_MOST_LISTED = 10


class Predictor(nn.Module, ABC):
    """One or several trained networks with the preprocessing and the names of their training data.

    All methods take new data without targets: a mapping from names to arrays as in the data file of the training, a
    pandas table with the same columns, a sequence of mappings (one per sample), or the path of a file or folder. Rows
    are those of the data, in their order.

    Attributes:
        class_names: Names of the classes or labels; empty for a regression.
        modalities: Modalities that are read.
        task: Kind of task and number of outputs.
        columns: Names of the columns or arrays that are read.
    """

    class_names: tuple[str, ...]
    modalities: tuple[Modality, ...]
    task: Task
    columns: tuple[str, ...]

    @abstractmethod
    def forward(self, data: Any) -> Tensor:
        """Returns the outputs (n, n_outputs) float32 on the CPU: logits, or standardised numbers of a regression.

        Of label maps they are (n, n_outputs, H, W).

        Raises:
            DataError: The data lack an input or have another form than in the training, or a row cannot be used.
        """

    @abstractmethod
    def predictions(
        self,
        data: Any,
        *,
        started: Callable[[int], Callable[[int], None]] | None = None,
        pixel_probabilities: bool = False,
    ) -> Predictions:
        """Returns the predictions for all rows; rows that cannot be used are empty.

        Args:
            data: New data.
            started: Called with the number of rows that can be used when they have been read; returns a function that
                is called with the number of rows of each batch after it. Of several networks, each calls it.
            pixel_probabilities: Whether predictions of label maps have the probabilities of all classes of each pixel,
                which are large; other predictions always have theirs.

        Raises:
            DataError: See `predict_table`.
        """

    def predict(self, data: Any) -> NDArray[Any]:
        """Returns names of classes (n,), zeros and ones of labels (n, k), or numbers in the unit of the data.

        Numbers have the shape (n,), or (n, k) if there are k > 1. Label maps are (n, H, W) uint8, with the numbers that
        the classes have in the data of the training.

        Raises:
            DataError: See `forward`.
        """
        found = self.predictions(data)
        check_rows(found.problems)
        return found.named

    def predict_proba(self, data: Any) -> NDArray[Any]:
        """Returns the probabilities (n, k) of classes or labels in the order of `class_names`.

        Of label maps they are (n, k, H, W).

        Raises:
            DataError: See `forward`.
            InvalidInputError: The task is a regression.
        """
        found = self.predictions(data, pixel_probabilities=True)
        if found.probabilities is None:
            raise InvalidInputError(f"the network predicts numbers ({self.task.kind}), not probabilities; use predict")
        check_rows(found.problems)
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


def check_rows(problems: dict[int, str]) -> None:
    """Checks that all rows can be used, by the reasons why some cannot.

    Raises:
        DataError: There are such rows; the message lists the first of them.
    """
    if not problems:
        return
    listed = [row_text(row, reason) for row, reason in list(problems.items())[:_MOST_LISTED]]
    more = f" and {len(problems) - len(listed)} more" if len(problems) > len(listed) else ""
    raise DataError(
        f"{counted(len(problems), 'row')} cannot be used: {'; '.join(listed)}{more}; correct or remove them, or use "
        "predict_table, which leaves them empty"
    )
