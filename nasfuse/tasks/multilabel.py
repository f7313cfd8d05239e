"""Several yes/no labels."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.errors import DataError
from nasfuse.tasks.base import Array, TaskKind


class Multilabel(TaskKind):
    """n_outputs yes/no labels; outputs are logits, the loss is the binary cross entropy."""

    def check_targets(self, where: str, targets: Array) -> tuple[Tensor, int]:
        """Returns (n, k) float32 zeros and ones, and k."""
        if targets.dtype.kind not in "biuf":
            raise DataError(f"{where} must be numbers for multilabel, got {targets.dtype}; encode them first")
        values = targets.astype(np.float32)
        if values.ndim != 2 or values.shape[1] == 0 or not np.isin(values, (0.0, 1.0)).all():
            raise DataError(f"{where} must be (n, k) zeros and ones for multilabel, got shape {targets.shape}")
        return torch.from_numpy(values), values.shape[1]

    def balanced_weights(self, targets: Tensor, n_outputs: int) -> Tensor | None:
        """Returns (2, n_outputs), n / 2 over the number of samples without the label, and with it."""
        n_with = targets.sum(dim=0)
        return len(targets) / (2 * torch.stack([len(targets) - n_with, n_with]).clamp_min(1))

    def choices(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns the log-sigmoids of absence and presence, and the smoothed shares of both."""
        present = targets.to(outputs) * (1 - label_smoothing) + label_smoothing / 2
        logs = torch.stack([F.logsigmoid(-outputs), F.logsigmoid(outputs)], dim=-1)
        return logs, torch.stack([1 - present, present], dim=-1)

    def weights_of(self, targets: Tensor, class_weights: Tensor | None) -> Tensor | None:
        """Returns the weight of the value of each label."""
        return None if class_weights is None else torch.where(targets > 0, class_weights[1], class_weights[0])

    def loss(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the binary cross entropy; each label is one of two classes when it is smoothed or weighted."""
        smooth = targets * (1 - label_smoothing) + label_smoothing / 2
        weights = self.weights_of(targets, class_weights)
        return F.binary_cross_entropy_with_logits(outputs, smooth, weight=weights)

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Returns the mean Kullback-Leibler divergence of the probability of a label from the wanted one."""
        chance = wanted.sigmoid()
        least = F.binary_cross_entropy_with_logits(wanted, chance)
        return F.binary_cross_entropy_with_logits(outputs, chance) - least

    def predict(self, outputs: Tensor) -> Tensor:
        """Returns 1 for positive logits."""
        return (outputs > 0).long()

    def log_probabilities(self, outputs: Tensor) -> Tensor | None:
        """Returns the log-sigmoid."""
        return F.logsigmoid(outputs)

    def average(self, outputs: Tensor) -> Tensor:
        """Returns the log-odds of the mean probabilities."""
        return F.logsigmoid(outputs).logsumexp(dim=0) - F.logsigmoid(-outputs).logsumexp(dim=0)

    def constant(self, targets: Tensor, n_outputs: int, *, metric: str) -> Tensor:
        """Returns the logits of the shares of the labels, half a sample with and half without each label added."""
        return torch.logit((targets.sum(dim=0) + 0.5) / (len(targets) + 1))

    def errors(self, digests: Tensor, targets: Tensor) -> Tensor:
        """Returns the share of labels that are wrong."""
        return ((digests > 0) != (targets[:, None] > 0)).double().mean(dim=2)

    def confidence_features(self, outputs: Tensor) -> Tensor:
        """Returns the mean and the largest entropy of the labels, in bits."""
        entropy = _entropy(outputs if outputs.dtype == torch.float64 else outputs.float())
        return torch.stack([entropy.mean(dim=1), entropy.amax(dim=1)], dim=1) / math.log(2)

    def n_confidence_features(self, n_outputs: int) -> int:
        """Returns 2."""
        return 2

    def doubt(self, features: Tensor) -> Tensor | None:
        """Returns the mean entropy in bits."""
        return features[:, :1]


def _entropy(logits: Tensor) -> Tensor:
    return F.softplus(logits) - logits * logits.sigmoid()
