"""Batches of an epoch: samples in random order, those of a batch of similar lengths where sequences are padded."""

from collections.abc import Iterable

import torch
from torch import Tensor

from nasfuse.data.dataset import Split

#: Number of batches among whose samples those of similar lengths are put together; more save little padding, and make
#: the samples of a batch less random.
_WINDOW = 8

#: Number of windows of an epoch below which batches are random; with one, all epochs would have the same batches.
_LEAST_WINDOWS = 2


def batches_of_epoch(
    split: Split, rows: Tensor, *, batch_size: int, names: Iterable[str], generator: torch.Generator
) -> list[Tensor]:
    """Returns the rows of the batches of an epoch, which has each of `rows` once.

    The order is random. Where modalities have padded sequences, and the epoch at least 16 batches, every `_WINDOW`
    batches of that order are sorted by the samples' numbers of steps, divided again, and shuffled (length bucketing),
    as a batch is as long as its longest sequence.

    Args:
        split: Samples of the training.
        rows: (n,) rows of an epoch.
        batch_size: Number of rows of a batch; the last batch of an epoch, or another one of its window, can be smaller.
        names: Modalities that the network reads.
        generator: Source of randomness.
    """
    order = rows[torch.randperm(len(rows), generator=generator)]
    found = [lengths for name in names if (lengths := split.lengths(name)) is not None]
    if not found or len(rows) < _LEAST_WINDOWS * _WINDOW * batch_size:
        return list(torch.split(order, batch_size))
    n_steps = torch.stack(found).sum(dim=0)
    batches: list[Tensor] = []
    for window in torch.split(order, _WINDOW * batch_size):
        by_length = window[torch.argsort(n_steps[window], stable=True)]
        divided = torch.split(by_length, batch_size)
        batches += [divided[i] for i in torch.randperm(len(divided), generator=generator).tolist()]
    return batches
