"""A trained network that takes data as they are, and answers with class names or numbers in the unit of the data."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasfuse.data import Scale
from nasfuse.prediction.device import device_of
from nasfuse.prediction.new_data import inputs_of, new_data, warn_of_unknown
from nasfuse.prediction.outputs import outputs_of
from nasfuse.prediction.predictions import Predictions, kept_maps, predictions_of
from nasfuse.prediction.predictor import Predictor, check_rows
from nasfuse.prediction.saved_network import SavedNetwork, read_network
from nasfuse.spec.ensemble import AnyRecipe


class TrainedNetwork(Predictor):
    """A trained network with the preprocessing and the names of its training data; see `Predictor`.

    Attributes:
        network: The network itself, which takes standardised batches.
        recipe: Recipe of the network.
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
        self.class_names = () if saved.target_scale is not None else saved.output_names
        self.modalities = tuple(saved.inputs.values())
        self.task = saved.task
        transforms = [saved.preprocessing.transforms[name] for name in saved.inputs]
        self.columns = tuple(dict.fromkeys(column for one in transforms for column in one.columns))
        self.val_metric, self.test_metric = saved.val_metric, saved.test_metric

    @property
    def target_scale(self) -> Scale | None:
        """Scale of the numbers of a regression; None for other tasks."""
        return self._saved.target_scale

    def forward(self, data: Any) -> Tensor:
        """Returns the outputs (n, n_outputs), or maps; see `Predictor.forward`."""
        raw = new_data(data, columns=self.columns)
        inputs = inputs_of(self._saved, raw)
        warn_of_unknown(self._saved, raw)
        check_rows(inputs.problems)
        return outputs_of(self.network, inputs.split(), device=self._device()).values

    def predictions(
        self,
        data: Any,
        *,
        started: Callable[[int], Callable[[int], None]] | None = None,
        pixel_probabilities: bool = False,
    ) -> Predictions:
        """Returns the predictions for all rows; see `Predictor.predictions`."""
        raw = new_data(data, columns=self.columns)
        inputs = inputs_of(self._saved, raw)
        warn_of_unknown(self._saved, raw)
        advance = None if started is None else started(len(inputs.rows))
        kept = None
        if self.task.size is not None:
            kept = kept_maps(self._saved, with_probabilities=pixel_probabilities)
        outputs = outputs_of(self.network, inputs.split(), device=self._device(), advance=advance, kept=kept)
        return predictions_of(self._saved, outputs, rows=inputs.rows, n_rows=inputs.n_rows, problems=inputs.problems)

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def load_network(path: str | os.PathLike[str], *, point: int = 0, device: str | torch.device = "cpu") -> TrainedNetwork:
    """Returns a trained network, which needs neither the training data nor the folder it was trained in.

    Args:
        path: A `model.pt` of `train` or of a search.
        point: Index P of an operating point of a trial, shown as N:P; 0 is the setting of its recipe.
        device: Device of the network: cpu, cuda, cuda:1, ..., or auto, which is a GPU if there is one.

    Raises:
        MissingFileError: The file does not exist.
        CheckpointError: The file is damaged, of another version, or no trained network.
        InvalidInputError: The network has no such point, or there is no such device.

    Example:
        network = nasfuse.load_network("runs/mine/trials/12/model.pt")
        network.predict({"photo": photos, "notes": notes})
    """
    return TrainedNetwork(read_network(Path(path), point=point, device=device_of(device)))
