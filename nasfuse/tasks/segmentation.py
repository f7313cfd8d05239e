"""One class for every pixel."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.domain.task import VOID
from nasfuse.errors import DataError, DataWarning
from nasfuse.tasks.base import Array, BatchLoss, TaskKind
from nasfuse.tasks.confidence_bins import N_BINS, confidence_bins
from nasfuse.tasks.pixel_digest import N_FEATURES, PixelDigest


class Segmentation(TaskKind):
    """One of n_outputs classes for every pixel that has a label; outputs are maps of logits (b, n_outputs, H, W).

    Targets are uint8 maps (b, H, W) of class numbers, with `nasfuse.domain.task.VOID` for pixels without a label, which
    count nowhere but in the confidence of a sample.
    """

    keeps_outputs = False

    # Predictions of two routes hardly ever differ in no pixel: 2 in 1,000 labelled pixels count as none.
    equally_wrong = 0.002

    def check_targets(self, where: str, targets: Array) -> tuple[Tensor, int]:
        """Returns (n, H, W) uint8 maps and the number of classes, one more than the largest class number."""
        if targets.ndim != 3 or not np.issubdtype(targets.dtype, np.integer) or 0 in targets.shape:
            raise DataError(
                f"{where} must be (n, H, W) integers for segmentation, got {targets.dtype} of shape {targets.shape}"
            )
        bad = (np.less(targets, 0) | np.greater(targets, VOID)).reshape(len(targets), -1)
        if bad.any():
            row = int(bad.any(axis=1).argmax())
            value = targets[row].reshape(-1)[bad[row]][0]
            raise DataError(
                f"{where} must be class numbers from 0 to {VOID - 1}, or {VOID} for pixels without a label, got "
                f"{value} in row {row}; renumber them"
            )
        labels = targets[targets != VOID]
        if not labels.size:
            raise DataError(f"{where} are {VOID} everywhere, so no pixel has a label; there is nothing to learn")
        n_classes = int(labels.max()) + 1
        if int(labels.min()) == n_classes - 1:
            raise DataError(f"{where} hold one class only, got {labels[0]} everywhere; there is nothing to learn")
        return torch.from_numpy(targets.astype(np.uint8)), n_classes

    def check_training_targets(self, where: str, targets: Tensor, train: Tensor, *, names: Sequence[str] = ()) -> None:
        """Warns of classes without a training pixel, which networks never predict."""
        has = pixel_counts(targets, VOID) > 0
        occurs, is_trained = has.any(dim=0), has[train].any(dim=0)
        if not is_trained.any():
            raise DataError(f"{where}: no pixel of the training samples has a label; fix the labels or the split")
        absent = (occurs & ~is_trained).nonzero()[:, 0].tolist()
        if absent:
            listed = ", ".join(str(names[number] if names else number) for number in absent)
            what = "classes without a training pixel are" if len(absent) > 1 else "a class without a training pixel is"
            warnings.warn(f"{where}: {what} never predicted: {listed}", DataWarning, stacklevel=2)

    def describe(self, targets: Tensor, n_outputs: int) -> Mapping[str, str]:
        """Returns the shares of the rarest and of the most frequent class, and of the pixels without a label."""
        counts = pixel_counts(targets, n_outputs).sum(dim=0)
        total = max(int(counts.sum()), 1)
        shares = f"{counts.min() / total:.2%} to {counts.max() / total:.2%} of the labelled training pixels each"
        return {"classes": shares, "pixels without a label": f"{1 - total / targets.numel():.2%}"}

    def balanced_weights(self, targets: Tensor, n_outputs: int) -> Tensor | None:
        """Returns (n_outputs,) n / (n_outputs n_c) for n_c of n labelled pixels in class c."""
        counts = pixel_counts(targets, n_outputs).sum(dim=0)
        return counts.sum() / (n_outputs * counts.clamp_min(1).float())

    def median_frequency_weights(self, targets: Tensor, n_outputs: int) -> Tensor | None:
        """Returns (n_outputs,) median frequency / f_c for classes of frequency f_c (Eigen & Fergus, 2015, section 4.3).

        f_c is the share of class c in the labelled pixels of the samples that have it, and the median is that over the
        classes that occur. The weight of a class that does not occur is 1.
        """
        counts = pixel_counts(targets, n_outputs)
        has = counts > 0
        frequency = counts.sum(dim=0) / (counts.sum(dim=1, keepdim=True) * has).sum(dim=0).clamp_min(1)
        occurs = has.any(dim=0)
        median = float(np.median(frequency[occurs].numpy()))  # of an even number, the mean of the two in the middle
        return torch.where(occurs, median / frequency.clamp_min(1e-30), 1.0)

    def choices(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns the log-softmax and the smoothed one-hot targets of the labelled pixels, (p, n_outputs) each."""
        n_classes, labelled = outputs.shape[1], targets != VOID
        logs = F.log_softmax(outputs, dim=1).movedim(1, -1)[labelled]
        wanted = F.one_hot(targets[labelled].long(), n_classes).to(logs)
        return logs, wanted * (1 - label_smoothing) + label_smoothing / n_classes

    def weights_of(self, targets: Tensor, class_weights: Tensor | None) -> Tensor | None:
        """Returns the weights (p,) of the classes of the labelled pixels."""
        return None if class_weights is None else class_weights[targets[targets != VOID].long()]

    def loss(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean of the labelled pixels' cross entropies, each times the weight of its class.

        It is 0, with a gradient of 0, where no pixel has a label.
        """
        labels = targets.long()
        each = F.cross_entropy(
            outputs, labels, label_smoothing=label_smoothing, ignore_index=VOID, reduction="none"
        )  # 0 without a label
        if class_weights is not None:
            each = each * class_weights[labels.where(targets != VOID, 0)]
        return each.sum() / (targets != VOID).sum().clamp_min(1)

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Returns the mean over pixels of the Kullback-Leibler divergence of the probabilities from the wanted ones."""
        logs, wanted_logs = F.log_softmax(outputs, dim=1), F.log_softmax(wanted, dim=1)
        return F.kl_div(logs, wanted_logs, reduction="none", log_target=True).sum(dim=1).mean()

    def predict(self, outputs: Tensor) -> Tensor:
        """Returns the uint8 class (..., H, W) of the largest logit of each pixel."""
        return outputs.argmax(dim=-3).to(torch.uint8)

    def log_probabilities(self, outputs: Tensor) -> Tensor | None:
        """Returns the log-softmax of each pixel."""
        return F.log_softmax(outputs, dim=-3)

    def average(self, outputs: Tensor) -> Tensor:
        """Returns the logarithms of the mean probabilities of each pixel."""
        return F.log_softmax(outputs, dim=-3).logsumexp(dim=0) - math.log(len(outputs))

    def constant(self, targets: Tensor, n_outputs: int, *, metric: str) -> Tensor:
        """Returns the logarithms of the shares of the classes in the pixels, half a pixel added to each."""
        counts = pixel_counts(targets, n_outputs).sum(dim=0)
        return ((counts + 0.5) / (counts.sum() + 0.5 * n_outputs)).log().float()

    def digest(self, outputs: Tensor, targets: Tensor, *, loss: BatchLoss | None = None) -> Tensor:
        """Returns the packed `PixelDigest` of each sample, (b, n_outputs n_outputs + 20)."""
        n_samples, n_classes = outputs.shape[:2]
        logs = F.log_softmax(_wide(outputs), dim=1)
        largest, guess = logs.max(dim=1)
        labelled, truth, confidence = targets != VOID, targets.long(), largest.exp()
        sample = torch.arange(n_samples, device=targets.device)[:, None, None]

        def summed(places: Tensor, n_places: int, values: Tensor | None = None) -> Tensor:
            weights = None if values is None else values.flatten()
            places = (sample * n_places + places).flatten()
            counts = torch.bincount(places, weights=weights, minlength=n_samples * n_places)
            return counts.view(n_samples, n_places).double()

        n_pairs = n_classes * n_classes
        pairs = torch.where(labelled, truth * n_classes + guess, n_pairs)  # the last number is that of no label
        n_labelled = labelled.sum(dim=(1, 2)).double()
        if loss is None:
            of_truth = logs.gather(1, truth.where(labelled, 0)[:, None])[:, 0]
            losses = -(of_truth * labelled).sum(dim=(1, 2), dtype=torch.float64)
        else:
            means = [loss(outputs[row : row + 1], targets[row : row + 1]) for row in range(n_samples)]
            losses = torch.stack(means).double() * n_labelled
        digest = PixelDigest(
            confusion=summed(pairs, n_pairs + 1)[:, :-1].view(n_samples, n_classes, n_classes),
            loss=losses,
            n_labelled=n_labelled,
            features=_features(logs, largest, guess).double(),
            gaps=summed(confidence_bins(confidence), N_BINS, ((guess == truth).to(confidence) - confidence) * labelled),
        )
        return digest.packed()

    def digests_of_constant(self, constant: Tensor, targets: Tensor) -> Tensor:
        """Returns the digests (n, m) of outputs that are `constant` in every pixel.

        All parts but the features are sums over pixels, so they follow from one pixel of each class.
        """
        n_classes = len(constant)
        labels = torch.arange(n_classes).to(torch.uint8)[:, None, None]
        of_class = self.digest(constant.view(1, -1, 1, 1).expand(n_classes, -1, 1, 1), labels)
        found = PixelDigest.unpacked(pixel_counts(targets, n_classes).double() @ of_class)
        features = PixelDigest.unpacked(of_class).features[:1].expand(len(targets), -1)
        return PixelDigest(found.confusion, found.loss, found.n_labelled, features, found.gaps).packed()

    def split_loss(self, digests: Tensor, targets: Tensor, *, loss: BatchLoss | None = None) -> Tensor:
        """Returns the mean loss of the labelled pixels, 0 without any."""
        digest = PixelDigest.unpacked(digests)
        return digest.loss.sum() / digest.n_labelled.sum().clamp_min(1)

    def errors(self, digests: Tensor, targets: Tensor) -> Tensor:
        """Returns the share of the labelled pixels of a sample that are wrong, 0 for a sample without any."""
        digest = PixelDigest.unpacked(digests)
        right = digest.confusion.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return (digest.n_labelled - right) / digest.n_labelled.clamp_min(1)

    def confusion(self, digests: Tensor, targets: Tensor) -> Tensor | None:
        """Returns the numbers of labelled pixels by class and predicted class, over all samples."""
        return PixelDigest.unpacked(digests).confusion.sum(dim=0).round().long()

    def confidence_gaps(self, digests: Tensor, targets: Tensor) -> Tensor | None:
        """Returns the gaps of the labelled pixels."""
        digest = PixelDigest.unpacked(digests)
        return digest.gaps.sum(dim=0) / digest.n_labelled.sum().clamp_min(1)

    def digest_confidence(self, digests: Tensor, *, temperature: Tensor | float = 1.0) -> Tensor | None:
        """Returns the mean of the largest probabilities; the temperature is 1."""
        assert float(temperature) == 1, "outputs that are not kept cannot be rescaled"
        return PixelDigest.unpacked(digests).features[..., 0]

    def confidence_features(self, outputs: Tensor) -> Tensor:
        """Returns the means over pixels of the largest probability, its margin, and the entropy over its maximum."""
        logs = F.log_softmax(_wide(outputs), dim=1)
        return _features(logs, *logs.max(dim=1))

    def n_confidence_features(self, n_outputs: int) -> int:
        """Returns 3."""
        return N_FEATURES

    def doubt(self, features: Tensor) -> Tensor | None:
        """Returns 1 minus the mean of the largest probabilities."""
        return 1 - features[:, :1]


def pixel_counts(targets: Tensor, n_classes: int) -> Tensor:
    """Returns the (n, n_classes) numbers of pixels of each class in label maps (n, H, W)."""
    if not len(targets):
        return torch.zeros(0, n_classes, dtype=torch.int64)
    return torch.stack([torch.bincount(one.flatten(), minlength=VOID + 1)[:n_classes] for one in targets])


def _features(logs: Tensor, largest: Tensor, guess: Tensor) -> Tensor:
    """Returns the features (b, 3) of logarithms of probabilities (b, K, H, W), and their maxima over K."""
    second = logs.scatter(1, guess[:, None], -math.inf).amax(dim=1).exp()
    entropy = -(logs.exp() * logs).sum(dim=1) / math.log(logs.shape[1])
    top = largest.exp()
    return torch.stack([top.mean(dim=(1, 2)), (top - second).mean(dim=(1, 2)), entropy.mean(dim=(1, 2))], dim=1)


def _wide(outputs: Tensor) -> Tensor:
    return outputs if outputs.dtype == torch.float64 else outputs.float()
