"""One class of several."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasfuse.errors import DataError
from nasfuse.tasks.base import Array, TaskKind
from nasfuse.tasks.confidence_bins import confidence_gaps


class Multiclass(TaskKind):
    """One of n_outputs classes; outputs are logits, the loss is the cross entropy."""

    takes_words = True

    def check_targets(self, where: str, targets: Array) -> tuple[Tensor, int]:
        """Returns (n,) int64 class numbers and the number of classes."""
        if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
            raise DataError(
                f"{where} must be (n,) integers or words for multiclass, got {targets.dtype} of shape {targets.shape}"
            )
        if targets.min() < 0:
            row = int(np.less(targets, 0).argmax())
            raise DataError(f"{where} must be class numbers from 0, got {targets[row]} in row {row}; renumber them")
        classes = np.unique(targets)
        if len(classes) < 2:
            raise DataError(f"{where} hold one class only, got {classes[0]} everywhere; there is nothing to learn")
        n_classes = int(classes[-1]) + 1
        if len(classes) < n_classes:
            absent = next(c for c in range(n_classes) if c not in classes)
            raise DataError(
                f"{where} go up to {n_classes - 1} but class {absent} never occurs: a label is wrong, or samples of "
                "that class are missing; correct the labels or add samples, or, if no network was trained with these "
                "class numbers, renumber the classes without gaps"
            )
        return torch.from_numpy(targets.astype(np.int64)), n_classes

    def strata(self, targets: Array) -> NDArray[np.int64]:
        """Returns the classes."""
        return targets.astype(np.int64)

    def check_training_targets(self, where: str, targets: Tensor, train: Tensor, *, names: Sequence[str] = ()) -> None:
        """Checks that every class has a training sample."""
        absent = sorted(set(targets.tolist()) - set(targets[train].tolist()))
        if absent:
            name = names[absent[0]] if names else absent[0]
            raise DataError(f"{where}: class {name} has no training sample; fix the labels or the split")

    def describe(self, targets: Tensor, n_outputs: int) -> Mapping[str, str]:
        """Returns the sizes of the smallest and of the largest class."""
        counts = targets.bincount(minlength=n_outputs).tolist()
        return {"classes": f"{min(counts)} to {max(counts)} training samples each"}

    def balanced_weights(self, targets: Tensor, n_outputs: int) -> Tensor | None:
        """Returns (n_outputs,) n / (n_outputs n_c) for n_c of n samples in class c."""
        return len(targets) / (n_outputs * targets.bincount(minlength=n_outputs).clamp_min(1).float())

    def choices(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns the log-softmax, and the smoothed one-hot targets."""
        logs = F.log_softmax(outputs, dim=-1)
        wanted = F.one_hot(targets, outputs.shape[-1]).to(logs)
        return logs, wanted * (1 - label_smoothing) + label_smoothing / outputs.shape[-1]

    def weights_of(self, targets: Tensor, class_weights: Tensor | None) -> Tensor | None:
        """Returns the weight of the class of each sample."""
        return None if class_weights is None else class_weights[targets]

    def loss(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean of the samples' cross entropies, each times the weight of its class."""
        weights = self.weights_of(targets, class_weights)
        if weights is None:
            return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        each = F.cross_entropy(outputs, targets, label_smoothing=label_smoothing, reduction="none")
        return (weights * each).mean()

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Returns the mean Kullback-Leibler divergence of the probabilities from the wanted ones."""
        logs, wanted_logs = F.log_softmax(outputs, dim=-1), F.log_softmax(wanted, dim=-1)
        return F.kl_div(logs, wanted_logs, reduction="batchmean", log_target=True)

    def predict(self, outputs: Tensor) -> Tensor:
        """Returns the class of the largest logit."""
        return outputs.argmax(dim=-1)

    def log_probabilities(self, outputs: Tensor) -> Tensor | None:
        """Returns the log-softmax."""
        return F.log_softmax(outputs, dim=-1)

    def average(self, outputs: Tensor) -> Tensor:
        """Returns the logarithms of the mean probabilities."""
        return F.log_softmax(outputs, dim=-1).logsumexp(dim=0) - math.log(len(outputs))

    def constant(self, targets: Tensor, n_outputs: int, *, metric: str) -> Tensor:
        """Returns the logarithms of the shares of the classes, half a sample added to each."""
        return ((torch.bincount(targets, minlength=n_outputs) + 0.5) / (len(targets) + 0.5 * n_outputs)).log()

    def errors(self, digests: Tensor, targets: Tensor) -> Tensor:
        """Returns 1 where the class is wrong."""
        return (self.predict(digests) != targets[:, None]).double()

    def confusion(self, digests: Tensor, targets: Tensor) -> Tensor | None:
        """Returns the numbers of samples by class and predicted class."""
        n_outputs = digests.shape[1]
        pairs = targets * n_outputs + self.predict(digests)
        return torch.bincount(pairs, minlength=n_outputs * n_outputs).view(n_outputs, n_outputs)

    def confidence_gaps(self, digests: Tensor, targets: Tensor) -> Tensor | None:
        """Returns the gaps of the samples."""
        confidence = F.softmax(digests.double(), dim=1).amax(dim=1)
        return confidence_gaps(confidence, self.predict(digests) == targets) / len(targets)

    def confidence_features(self, outputs: Tensor) -> Tensor:
        """Returns the largest probability, its margin to the second, and the entropy over its maximum."""
        logs = F.log_softmax(outputs if outputs.dtype == torch.float64 else outputs.float(), dim=1)
        top = logs.exp().topk(2, dim=1).values
        entropy = -(logs.exp() * logs).sum(dim=1) / math.log(outputs.shape[1])
        return torch.stack([top[:, 0], top[:, 0] - top[:, 1], entropy], dim=1)

    def n_confidence_features(self, n_outputs: int) -> int:
        """Returns 3."""
        return 3

    def doubt(self, features: Tensor) -> Tensor | None:
        """Returns 1 minus the largest probability."""
        return 1 - features[:, :1]
