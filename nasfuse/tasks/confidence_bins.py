"""Bins of predictions by their confidence, for calibration errors."""

import torch
from torch import Tensor

#: Number of bins of equal width.
N_BINS = 15


def confidence_bins(confidence: Tensor) -> Tensor:
    """Returns the int64 numbers of the bins of probabilities (...); bin m is (m / 15, (m + 1) / 15]."""
    return (torch.ceil(confidence * N_BINS).long() - 1).clamp(0, N_BINS - 1)


def confidence_gaps(confidence: Tensor, is_right: Tensor) -> Tensor:
    """Returns the (15,) sums over the predictions in each bin of 1 if right, else 0, minus the confidence.

    Args:
        confidence: (n,) float64 probabilities of what is predicted.
        is_right: (n,) bool.
    """
    gaps = is_right.double() - confidence
    return torch.bincount(confidence_bins(confidence), weights=gaps, minlength=N_BINS)
