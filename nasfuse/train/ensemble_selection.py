"""Greedy selection of ensembles from the validation predictions of networks."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.data.dataset import Scale
from nasfuse.tasks import task_kind
from nasfuse.train.metrics import score


@dataclass(frozen=True)
class Predictions:
    """Outputs of several networks for the same validation samples.

    Attributes:
        outputs: Outputs of m networks, (m, n, n_outputs).
        targets: (n,) or (n, n_outputs).
        folds: Number of the fold of each sample, (n,), from 0.
        target_scale: Scale of regression targets; None for other tasks.
    """

    outputs: Tensor
    targets: Tensor
    folds: Tensor
    target_scale: Scale | None = None


@dataclass(frozen=True)
class Selected:
    """An ensemble.

    Attributes:
        members: Numbers of its networks, in the order in which they were chosen.
        metrics: Cross-validated metric for each `Predictions`.
        reported: The same of the metric that is reported beside it; empty if there is none.
    """

    members: tuple[int, ...]
    metrics: tuple[float, ...]
    reported: tuple[float, ...] = ()


class EnsembleSelection:
    """Forward selection of ensembles (Caruana et al., 2004) without replacement.

    An ensemble begins with one network. The network that lowers the loss of the averaged predictions most is added,
    then the next, also if the loss rises. Differences to the paper: a network is added once at most, because an
    ensemble is exported as a list of recipes without weights; the first network is given, so that there are ensembles
    at every cost; the loss decides instead of the metric, because many ensembles have the same accuracy on a
    small validation set; and there is no bagging of networks.

    The members are chosen on all validation samples. Their metric there would be too good, because the best of many
    ensembles was chosen on the same samples, so it is cross-validated: the samples of each fold are predicted by
    the ensemble that is chosen, in the same way, on the other folds, and the metric is that of all these predictions.
    """

    def __init__(
        self, predictions: Sequence[Predictions], *, metric: str, task: str, reported: str | None = None
    ) -> None:
        """Keeps the predictions.

        Args:
            predictions: Outputs of the same networks on one or more divisions of the data. The loss that decides is the
                mean over all.
            metric: Name of the metric.
            task: Kind of task.
            reported: Name of a metric that is reported beside it; None if there is one metric.
        """
        self._predictions = predictions
        self._reported = reported
        self._metric = metric
        self._task = task_kind(task)
        self._task_name = task
        self._averages: dict[frozenset[int], list[Tensor]] = {}
        n_folds = max(int(one.folds.max()) for one in predictions) + 1
        self._parts = [[one.folds == fold for one in predictions] for fold in range(n_folds)]
        self._rest = [[~mask for mask in part] for part in self._parts]
        self._all = [torch.ones_like(one.folds, dtype=torch.bool) for one in predictions]

    def select(self, first: int, others: Sequence[int], *, most: int) -> list[Selected]:
        """Returns ensembles of 2, 3, ... members, at most `most`, each with one network more than the one before.

        Args:
            first: Number of the first network.
            others: Numbers of the networks that may be added.
            most: Largest number of members.
        """
        paths = [self._path(first, others, most=most, masks=masks) for masks in self._rest]
        whole = self._path(first, others, most=most, masks=self._all)
        found = []
        for size in range(2, len(whole) + 1):
            members = [path[:size] for path in paths]
            reported = () if self._reported is None else tuple(self._cross_validated(members, self._reported))
            found.append(Selected(tuple(whole[:size]), tuple(self._cross_validated(members, self._metric)), reported))
        return found

    def _path(self, first: int, others: Sequence[int], *, most: int, masks: Sequence[Tensor]) -> list[int]:
        """Returns the networks in the order in which they are chosen on the samples in `masks`."""
        path, left = [first], [number for number in others if number != first]
        while left and len(path) < most:
            path.append(min(left, key=lambda number: self._loss([*path, number], masks)))
            left.remove(path[-1])
        return path

    def _loss(self, members: Sequence[int], masks: Sequence[Tensor]) -> float:
        averages = self._average(members)
        return statistics.fmean(
            float(self._task.loss(outputs[mask], one.targets[mask]))
            for outputs, mask, one in zip(averages, masks, self._predictions, strict=True)
            if bool(mask.any())
        )

    def _average(self, members: Sequence[int]) -> list[Tensor]:
        key = frozenset(members)
        if key not in self._averages:
            self._averages[key] = [self._task.average(one.outputs[sorted(key)]) for one in self._predictions]
        return self._averages[key]

    def _cross_validated(self, members: Sequence[Sequence[int]], metric: str) -> list[float]:
        """Returns a metric for each `Predictions`, with the ensemble `members[k]` for the samples of fold k."""
        found = []
        for number, one in enumerate(self._predictions):
            outputs = torch.empty_like(one.outputs[0])
            for chosen, masks in zip(members, self._parts, strict=True):
                outputs[masks[number]] = self._average(chosen)[number][masks[number]]
            found.append(score(metric, outputs, one.targets, task=self._task_name, target_scale=one.target_scale))
        return found
