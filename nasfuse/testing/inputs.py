"""Small modalities of every kind, and batches of random numbers for them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch
from nasfuse.domain.modality import Modality

VECTOR = Modality("v", "vector", (6,))
SEQUENCE = Modality("s", "sequence", (11, 5))
IDS = Modality("q", "sequence", (9,), 13)
IMAGE = Modality("i", "image", (3, 7, 6))

#: A vector, a sequence of vectors, a sequence of token ids and an image, by name.
MODALITIES = {modality.name: modality for modality in (VECTOR, SEQUENCE, IDS, IMAGE)}


def random_inputs(modality: Modality, n_samples: int) -> Tensor:
    """Returns (n_samples, ...) normal numbers, or token ids drawn uniformly."""
    if modality.vocabulary is None:
        return torch.randn(n_samples, *modality.shape)
    return torch.randint(modality.vocabulary, (n_samples, *modality.shape))


def length_mask(modality: Modality, lengths: Sequence[int] | Tensor) -> Tensor:
    """Returns the (b, T) mask of sequences with `lengths` (b,) real steps each, T being the longest of the modality."""
    return torch.arange(modality.shape[0]) < torch.as_tensor(lengths)[:, None]


def random_batch(
    names: Sequence[str],
    *,
    n_samples: int = 3,
    lengths: Mapping[str, Sequence[int] | Tensor] | None = None,
) -> Batch:
    """Returns random samples of the modalities `names` of `MODALITIES`.

    Args:
        names: Modalities of the batch.
        n_samples: Samples.
        lengths: Sequence to the number of real steps of each sample; the batch is as long as the modality.
    """
    inputs = {name: random_inputs(MODALITIES[name], n_samples) for name in names}
    masks = {name: length_mask(MODALITIES[name], values) for name, values in (lengths or {}).items()}
    return Batch(inputs, masks, torch.zeros(n_samples, dtype=torch.int64))
