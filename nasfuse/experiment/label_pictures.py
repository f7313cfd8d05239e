"""Pictures of a few samples with label maps: inputs, labels, and what each route of a network predicts."""

import base64
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data import Dataset, Split
from nasfuse.data.label_maps import class_numbers
from nasfuse.domain.task import VOID
from nasfuse.nn import Network, RoutedNetwork
from nasfuse.nn.routing.network import listening_to_routes
from nasfuse.prediction.label_images import label_png, picture_png
from nasfuse.spec.data import DataConfig
from nasfuse.tasks import task_kind

#: Samples that are shown.
N_SHOWN = 4
#: Pixels of a picture at most; of larger images, every second, third ... row and column is shown.
_MOST_PIXELS = 2**15


@dataclass(frozen=True)
class SamplePicture:
    """Pictures of a sample, as PNG files in base64.

    Attributes:
        inputs: Modality to its image.
        labels: The label map, with the numbers of the data and 255 for pixels without a label.
    """

    inputs: dict[str, str]
    labels: str


@dataclass(frozen=True)
class PredictedMap:
    """What a route predicts for a sample.

    Attributes:
        route: Name of the route; empty for a static network.
        is_taken: Whether the sample takes the route.
        labels: The predicted label map as a PNG file in base64.
    """

    route: str
    is_taken: bool
    labels: str


def shown_rows(split: Split) -> Tensor:
    """Returns the (k,) samples of a split that are shown, evenly chosen."""
    return torch.linspace(0, len(split) - 1, min(N_SHOWN, len(split))).long()


def sample_pictures(dataset: Dataset, split: Split, config: DataConfig) -> dict[int, SamplePicture]:
    """Returns the row in the data, counted from 0, to the pictures of each sample of a split that is shown.

    Args:
        dataset: Data set with label maps.
        split: Samples of the data set.
        config: Description of the data.
    """
    found = {}
    names = [modality.name for modality in dataset.modalities if modality.kind == "image"]
    for row in shown_rows(split).tolist():
        inputs = {}
        for name in names:
            column = split.columns[name]
            stored = row if column.index is None else int(column.index[row])
            inputs[name] = _base64(picture_png(_thinned(column.values[stored].numpy())))
        found[_number(split, row)] = SamplePicture(inputs, _map(split.targets[row], config, dataset.task.n_outputs))
    return found


def predicted_maps(
    network: Network, split: Split, config: DataConfig, *, task: str, n_classes: int, device: torch.device
) -> dict[int, list[PredictedMap]]:
    """Returns the row of each sample of a split that is shown to what all routes of a network predict for it.

    Args:
        network: On `device`.
        split: Samples.
        config: Description of the data.
        task: Kind of task.
        n_classes: Number of classes.
        device: CPU or GPU.
    """
    kind, rows = task_kind(task), shown_rows(split)
    batch = split.batch(rows, names=network.stream_names).to(device)
    network.eval()
    names: tuple[str, ...] = ("",)
    with torch.no_grad(), listening_to_routes(network) as heard:
        outputs = network(batch.inputs, batch.masks, present=batch.present)[:, None]
        if isinstance(network, RoutedNetwork):
            names = network.route_names
            outputs = network.all_routes(batch.inputs, batch.masks, present=batch.present).outputs
    taken = heard[0].tolist() if heard else [0] * len(rows)
    maps = kind.predict(outputs.float()).cpu()
    return {
        _number(split, row): [
            PredictedMap(name, number == taken[sample], _map(maps[sample, number], config, n_classes))
            for number, name in enumerate(names)
        ]
        for sample, row in enumerate(rows.tolist())
    }


def _number(split: Split, row: int) -> int:
    return row if split.rows is None else int(split.rows[row])


def _map(classes: Tensor, config: DataConfig, n_classes: int) -> str:
    table = np.full(VOID + 1, VOID, np.uint8)
    table[:n_classes] = class_numbers(config, n_classes)
    return _base64(label_png(_thinned(table[classes.numpy()]).astype(np.uint8)))


def _thinned(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Returns (..., H, W) with fewer rows and columns if there are too many pixels."""
    step = math.ceil(math.sqrt(values.shape[-2] * values.shape[-1] / _MOST_PIXELS))
    return values[..., ::step, ::step]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
