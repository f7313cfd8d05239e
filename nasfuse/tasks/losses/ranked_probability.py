"""The ranked probability score, for classes in an order."""

from torch import Tensor

from nasfuse.tasks.losses.base import TrainingLoss


class RankedProbabilityLoss(TrainingLoss):
    """sum_k (P(y <= k) - Q(y <= k))^2 over all classes k but the last, with target probabilities Q (Epstein, 1969).

    Probability at distant classes costs more than at neighbouring ones; the order is that of the class numbers. It is a
    proper score: the expected loss is lowest for the true probabilities. Of two classes it is the Brier score of one.
    """

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean over samples."""
        logs, wanted = self.kind.choices(outputs, targets, label_smoothing=label_smoothing)
        each = (logs.exp() - wanted).cumsum(dim=-1)[..., :-1].square().sum(dim=-1)
        weights = self.kind.weights_of(targets, class_weights)
        return each.mean() if weights is None else (weights * each).mean()
