"""What a kind of task provides. Everything else in the package asks it instead of comparing names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.generic]

#: Mean loss of outputs and targets of a batch.
BatchLoss = Callable[[Tensor, Tensor], Tensor]


class TaskKind(ABC):
    """A kind of task: checks, loss, predictions, errors and confidence.

    Outputs are logits of classes or labels, or standardised numbers, (b, n_outputs); of a dense kind they are maps
    (b, n_outputs, H, W), see `nasfuse.domain.task.TaskEntry.is_dense`. What is computed over a whole split is computed
    from the `digest` of each batch, so that the maps of a split are never in memory together.

    Attributes:
        keeps_outputs: Whether digests are the outputs themselves.
        is_standardised: Whether targets are real numbers with a unit, standardised by the training samples.
        equally_wrong: Largest difference of two `errors` that counts as none.
        takes_words: Whether targets may be words, which `nasfuse.data.class_labels` numbers.
    """

    keeps_outputs: bool = True
    is_standardised: bool = False
    takes_words: bool = False
    equally_wrong: float = 0.0

    @abstractmethod
    def check_targets(self, where: str, targets: Array) -> tuple[Tensor, int]:
        """Returns the targets as a tensor, (n,) or (n, k), and the number of outputs of a network.

        Args:
            where: Beginning of messages.
            targets: (n, ...), at least one row.

        Raises:
            DataError: They are no targets of this kind of task.
        """

    def strata(self, targets: Array) -> NDArray[np.int64]:
        """Returns the (n,) classes by which splits are stratified; 0 for all where they are not."""
        return np.zeros(len(targets), np.int64)

    def check_training_targets(  # noqa: B027 - most kinds have nothing to check
        self, where: str, targets: Tensor, train: Tensor, *, names: Sequence[str] = ()
    ) -> None:
        """Checks that something can be learned from the training samples.

        Args:
            where: Beginning of messages.
            targets: (n, ...) of all samples.
            train: (k,) rows of the training samples.
            names: Names of the outputs, if known.

        Raises:
            DataError: The training samples lack what validation or test samples have.
        """

    def describe(self, targets: Tensor, n_outputs: int) -> Mapping[str, str]:
        """Returns facts about the training targets for people, name to text."""
        return {}

    def balanced_weights(self, targets: Tensor, n_outputs: int) -> Tensor | None:
        """Returns the weights of classes in the loss that balance the training targets; None if there are no classes.

        Args:
            targets: (n, ...) of the training samples.
            n_outputs: Outputs of a network.
        """
        return None

    def median_frequency_weights(self, targets: Tensor, n_outputs: int) -> Tensor | None:
        """Returns the weights of classes by the median of their frequencies; None for kinds that are not dense.

        For the arguments see `balanced_weights`.
        """
        return None

    def choices(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns logarithms of predicted probabilities, and wanted probabilities, both (..., c) for c alternatives.

        Their cross entropy is `loss` of each sample (b, c), of each label (b, n_outputs, 2), or of each labelled pixel
        (p, c). Only for tasks with classes. For the arguments see `loss`.
        """
        raise NotImplementedError("numbers are no choice between alternatives")

    def weights_of(self, targets: Tensor, class_weights: Tensor | None) -> Tensor | None:
        """Returns the weight of the loss of each sample (b,), label (b, n_outputs) or labelled pixel (p,), or None.

        Args:
            targets: See `loss`.
            class_weights: Weights of classes; None: all weights are 1, and so is the result.
        """
        return None

    @abstractmethod
    def loss(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean loss of a batch.

        Args:
            outputs: (b, n_outputs), or maps.
            targets: (b,) or (b, n_outputs), or label maps (b, H, W).
            class_weights: Weights of classes, such as `balanced_weights`, by which the losses of samples, labels or
                pixels are multiplied; None: all 1.
            label_smoothing: s replaces the label y of each of K classes by y (1 - s) + s / K (Szegedy et al., 2016).
        """

    @abstractmethod
    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Returns the mean distance of outputs to those of another network for the same samples, 0 where equal.

        Args:
            outputs: (b, n_outputs), or maps.
            wanted: Outputs of the other network, without gradient.
        """

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Returns predictions in the form of the targets for outputs (..., n_outputs), or maps."""

    def log_probabilities(self, outputs: Tensor) -> Tensor | None:
        """Returns logarithms of the probabilities of classes or labels, as `outputs`; None if there are none."""
        return None

    @abstractmethod
    def average(self, outputs: Tensor) -> Tensor:
        """Returns the (..., n_outputs) outputs whose probabilities or numbers are the means over m networks.

        Args:
            outputs: (m, ..., n_outputs), or maps (m, ..., n_outputs, H, W).
        """

    @abstractmethod
    def constant(self, targets: Tensor, n_outputs: int, *, metric: str) -> Tensor:
        """Returns the (n_outputs,) outputs of the best constant prediction for training targets, judged by `metric`."""

    def digest(self, outputs: Tensor, targets: Tensor, *, loss: BatchLoss | None = None) -> Tensor:
        """Returns what is kept of the outputs of a batch, (b, m): the outputs themselves where they are small.

        Args:
            outputs: Outputs of a batch.
            targets: Targets of the batch.
            loss: Loss of which `split_loss` returns the mean; None: that of the kind.
        """
        return outputs

    def digests_of_constant(self, constant: Tensor, targets: Tensor) -> Tensor:
        """Returns the digests (n, m) of outputs that are `constant` (n_outputs,) for all `targets` (n, ...)."""
        return constant.expand(len(targets), -1)

    def split_loss(self, digests: Tensor, targets: Tensor, *, loss: BatchLoss | None = None) -> Tensor:
        """Returns the mean loss of a split.

        Args:
            digests: (n, m), made with the same `loss`.
            targets: Targets of the split.
            loss: Loss of a batch; None: that of the kind.
        """
        return (loss or self.loss)(digests, targets)

    @abstractmethod
    def errors(self, digests: Tensor, targets: Tensor) -> Tensor:
        """Returns (n, r) float64: how wrong each of r predictions per sample is; 0 is right.

        Args:
            digests: (n, r, m).
            targets: (n,) or (n, n_outputs), or label maps.
        """

    def confusion(self, digests: Tensor, targets: Tensor) -> Tensor | None:
        """Returns (n_outputs, n_outputs) int64 counts by class and predicted class; None without exclusive classes.

        Args:
            digests: (n, m).
            targets: Targets of the samples.
        """
        return None

    def confidence_gaps(self, digests: Tensor, targets: Tensor) -> Tensor | None:
        """Returns (15,) gaps between accuracy and confidence by bin of confidence, each times the share of its bin.

        None for kinds without exclusive classes. For the arguments see `confusion`.
        """
        return None

    def digest_confidence(self, digests: Tensor, *, temperature: Tensor | float = 1.0) -> Tensor | None:
        """Returns (n,) float64: `confidence` of the outputs behind digests (n, m), divided by a temperature."""
        return self.confidence(digests.double() / temperature)

    def confidence(self, outputs: Tensor) -> Tensor | None:
        """Returns (n,) float64: how sure outputs are, 1 - `doubt`; None where they do not say."""
        doubt = self.doubt(self.confidence_features(outputs.double()))
        return None if doubt is None else 1 - doubt[:, 0]

    def confidence_features(self, outputs: Tensor) -> Tensor:
        """Returns (b, k) features of how sure outputs (b, n_outputs), or maps, are, the input of a router.

        They are float64 for float64 outputs, else float32.
        """
        return outputs

    def n_confidence_features(self, n_outputs: int) -> int:
        """Returns k, the number of `confidence_features`."""
        return n_outputs

    def doubt(self, features: Tensor) -> Tensor | None:
        """Returns (b, 1) how unsure the outputs behind `confidence_features` are, 0 to 1; None where unknown."""
        return None
