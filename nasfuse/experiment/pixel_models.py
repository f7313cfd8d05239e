"""A linear model of the surroundings of every pixel, for data with label maps."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasfuse.data import Batch, Dataset, Split
from nasfuse.domain.task import VOID
from nasfuse.tasks import task_kind

Floats = NDArray[np.float64]

#: Pixels that the model is fitted to, at most, chosen at random.
_MOST_PIXELS = 20_000
#: Sides of the squares around a pixel whose mean values are features.
_SIDES = (5, 17)
#: Logit of a class without a training pixel.
_NEVER = -30.0
#: Values of all pixels that are computed at once.
_VALUES = 2**22


def pixel_digests(dataset: Dataset) -> Tensor:
    """Returns the digests (n, m) of a linear model for the validation samples, see `TaskKind.digest`.

    The model is a logistic regression on 20,000 random labelled pixels of the training samples. Features of a pixel are
    the standardised values of all images at the size of the label maps, their means over 5 x 5 and 17 x 17 pixels
    around it, and its row and column with their squares.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.preprocessing import StandardScaler

    kind = task_kind(dataset.task.kind)
    inputs, labels = _training_pixels(dataset)
    scaler = StandardScaler().fit(inputs)
    model = LogisticRegression(max_iter=200).fit(scaler.transform(inputs), labels) if len(set(labels)) > 1 else None
    digests = []
    for batch in _batches(dataset, dataset.val):
        n_samples, height, width = batch.targets.shape
        logits = np.full((n_samples * height * width, dataset.task.n_outputs), _NEVER, np.float32)
        if model is None:
            logits[:, labels[0]] = 0.0
        else:
            logits[:, model.classes_] = model.predict_log_proba(scaler.transform(_features(dataset, batch)))
        maps = torch.from_numpy(logits).view(n_samples, height, width, -1).permute(0, 3, 1, 2)
        digests.append(kind.digest(maps, batch.targets))
    return torch.cat(digests)


def _training_pixels(dataset: Dataset) -> tuple[Floats, NDArray[np.int64]]:
    """Returns the features (p, f) and the classes (p,) of random labelled pixels."""
    generator = torch.Generator().manual_seed(0)
    n_labelled = int((dataset.train.targets != VOID).sum())
    share = min(1.0, _MOST_PIXELS / n_labelled)
    features, labels = [], []
    for batch in _batches(dataset, dataset.train):
        chosen = (torch.rand(batch.targets.shape, generator=generator) < share) & (batch.targets != VOID)
        features.append(_features(dataset, batch)[chosen.flatten().numpy()])
        labels.append(batch.targets[chosen].numpy())
    return np.concatenate(features), np.concatenate(labels).astype(np.int64)


def _batches(dataset: Dataset, split: Split) -> Iterator[Batch]:
    names = tuple(modality.name for modality in dataset.modalities if modality.kind == "image")
    n_channels = sum(modality.shape[0] for modality in dataset.modalities if modality.kind == "image")
    n_values = split.targets[0].numel() * n_channels * (1 + len(_SIDES))
    for rows in torch.split(torch.arange(len(split)), max(_VALUES // n_values, 1)):
        yield split.batch(rows, names=names)


def _features(dataset: Dataset, batch: Batch) -> Floats:
    """Returns (b H W, f) features of all pixels of a batch."""
    size = batch.targets.shape[1:]
    images = torch.cat([F.interpolate(one, size, mode="bilinear") for one in batch.inputs.values()], dim=1)
    means = [F.avg_pool2d(images, side, stride=1, padding=side // 2, count_include_pad=False) for side in _SIDES]
    n_samples, _, height, width = images.shape
    row, column = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    place = torch.stack([row, column, row**2, column**2]).expand(n_samples, -1, -1, -1)
    values = torch.cat([images, *means, place], dim=1)
    return values.permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
