"""Digest of the predictions for the pixels of a sample: what is kept of them after a batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.tasks.confidence_bins import N_BINS

#: Number of features of the confidence.
N_FEATURES = 3


@dataclass(frozen=True)
class PixelDigest:
    """Sums and means over the pixels of a sample, float64; digests may have any leading axes (...).

    Attributes:
        confusion: (..., K, K) labelled pixels by class and predicted class.
        loss: (...,) sum of the losses of the labelled pixels.
        n_labelled: (...,) number of labelled pixels.
        features: (..., 3) means of the features of the confidence over all pixels.
        gaps: (..., 15) sums of `confidence_gaps` over the labelled pixels.
    """

    confusion: Tensor
    loss: Tensor
    n_labelled: Tensor
    features: Tensor
    gaps: Tensor

    def packed(self) -> Tensor:
        """Returns the digest as vectors (..., K K + 20)."""
        numbers = torch.stack([self.loss, self.n_labelled], dim=-1)
        return torch.cat([self.confusion.flatten(-2), numbers, self.features, self.gaps], dim=-1)

    @classmethod
    def unpacked(cls, vectors: Tensor) -> "PixelDigest":
        """Returns the digest of which `vectors` (..., K K + 20) are the packed form."""
        n_classes = math.isqrt(vectors.shape[-1] - 2 - N_FEATURES - N_BINS)
        sizes = [n_classes * n_classes, 1, 1, N_FEATURES, N_BINS]
        confusion, loss, n_labelled, features, gaps = torch.split(vectors, sizes, dim=-1)
        square = confusion.reshape(*vectors.shape[:-1], n_classes, n_classes)
        return cls(square, loss[..., 0], n_labelled[..., 0], features, gaps)
