"""Division of samples into train, val and test: stratified by class, with groups kept whole."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.groups import choose_groups
from nasfuse.errors import DataError, DataWarning, UndividedClassesWarning, counted
from nasfuse.tasks import task_kind

Rows = NDArray[np.int64]

#: Largest number of samples of a class that is not divided.
_RARE = 2
#: Largest number of classes that a warning lists.
_MOST_NAMED = 10
#: Difference between the requested and the actual share above which a warning is given.
_SHARE_TOLERANCE = 0.05


def divide_into_splits(
    name: str,
    labels: NDArray[Any],
    task: str,
    *,
    splits: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    val_fraction: float,
    division: int = 0,
    class_names: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Returns the sorted rows of `train`, `val` and `test`.

    A division depends on its number only, not on the seed of a search. In multiclass data, classes of one or two
    samples and classes within a single group stay in train. Division 0 warns about such classes, and about shares that
    whole groups cannot reach.

    Args:
        name: Name of the data set in messages.
        labels: (n,) or (n, k) targets.
        task: Kind of task, which defines the classes that are stratified.
        splits: (n,) strings `train`, `val` and `test`; None: 80/10/10.
        groups: (n,) groups or None. If a group is in both train and val, train and val are divided again, because a
            validation set that overlaps with the training data favours memorisation.
        val_fraction: Share of train that becomes val if `splits` has no val, or one that shares groups with train.
        division: Number of the division. 0 is the data set's own; others divide train and val again, so that repeated
            trainings are evaluated on different samples. Test is the same in all. A val in `splits` is kept if
            there are no groups, because samples may be related in ways that the file does not describe.
        class_names: Names of the classes in warnings; none for their numbers.

    Raises:
        DataError: `splits` has an unknown string or a wrong length, a split is empty, or test shares groups with train
            or val.
    """
    for what, array in (("split", splits), ("group", groups)):
        if array is not None and array.shape != (len(labels),):
            raise DataError(f"{name}: the {what} array must have one entry per label, got shape {array.shape}")
    if groups is not None and groups.dtype.kind == "f" and not np.isfinite(groups).all():
        row = int(np.flatnonzero(~np.isfinite(groups))[0])
        raise DataError(f"{name}: the group array must be finite, got {groups[row]} in row {row}; name the group")
    classes = task_kind(task).strata(labels)
    divider = _Divider(name, classes, groups, warns=division == 0, class_names=class_names)
    everything = np.arange(len(labels))
    if splits is None:
        rest, test = divider.divide(everything, 0.1, number=0, part="test")
        train, val = divider.divide(rest, 1 / 9, number=division, part="val")
        divider.warn_of_undivided_classes(everything)
    else:
        train, val, test = _named(name, splits)
        pool = np.concatenate([train, val])
        if groups is not None:
            _test_is_apart(name, groups, pool, test)
        leaks = groups is not None and len(np.intersect1d(groups[train], groups[val])) > 0
        share = None
        if not len(val) or leaks:
            share = val_fraction
        elif division and groups is not None:
            share = len(val) / len(pool)
        if share is not None and len(train):
            train, val = divider.divide(pool, share, number=division, part="val")
            divider.warn_of_undivided_classes(pool)
    rows = {"train": train, "val": val, "test": test}
    for part, index in rows.items():
        if not len(index):
            raise DataError(f"{name}: the {part} split is empty; mark some samples as {part!r} in the split array")
    return {part: torch.from_numpy(np.sort(index)) for part, index in rows.items()}


def divide_into_folds(
    name: str,
    labels: NDArray[Any],
    task: str,
    *,
    rows: Rows,
    groups: NDArray[Any] | None,
    n_folds: int,
    number: int,
    class_names: Sequence[str] = (),
) -> tuple[Tensor, Tensor]:
    """Returns the sorted rows of train and val, where val is one of `n_folds` folds of `rows`.

    Folds depend on their number only, not on the seed of a search. In multiclass data, classes of one or two samples
    stay in train in all folds, as does a group that has all samples of a class. Fold 0 warns about such classes.

    Args:
        name: Name of the data set in messages.
        labels: (n,) or (n, k) targets.
        task: Kind of task, which defines the classes that are stratified.
        rows: (m,) rows to divide.
        groups: (n,) groups, which are kept whole, or None.
        n_folds: Number of folds of one division.
        number: Fold `number % n_folds` of division `number // n_folds`.
        class_names: Names of the classes in warnings; none for their numbers.

    Raises:
        DataError: There are fewer samples (groups), or fewer samples in the largest class, than folds.
    """
    divider = _Divider(name, task_kind(task).strata(labels), groups, warns=number == 0, class_names=class_names)
    divider.warn_of_undivided_classes(rows)
    train, val = divider.fold(rows, n_folds, number)
    return torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(val))


@dataclass(frozen=True)
class _Divider:
    """Divides samples in two.

    Attributes:
        name: Name of the data set in messages.
        classes: (n,) class numbers; all 0 without stratification.
        groups: (n,) groups or None.
        warns: Whether warnings are given.
        class_names: Names of the classes in warnings; none for their numbers.
    """

    name: str
    classes: NDArray[np.int64]
    groups: NDArray[Any] | None
    warns: bool
    class_names: Sequence[str] = ()

    def divide(self, rows: Rows, share: float, *, number: int, part: str) -> tuple[Rows, Rows]:
        """Returns the rows that are kept, and about `share` of `rows` for `part`."""
        if self.groups is not None:
            kept, taken = self._divide_groups(self.groups[rows], rows, share, number)
        else:
            kept, taken = self._divide_samples(rows, share, number)
        given = len(taken) / len(rows)
        if self.warns and abs(given - share) > max(_SHARE_TOLERANCE, 1 / len(rows)):
            reason = "groups are not divided" if self.groups is not None else "every class keeps samples in train"
            self._warn(f"{part} has a share of {given:.3g} instead of {share:.3g}, because {reason}")
        return kept, taken

    def fold(self, rows: Rows, n_folds: int, number: int) -> tuple[Rows, Rows]:
        """Returns the rows of all other folds, with those that are not divided, and the rows of the fold."""
        stays = self._undivided(rows)
        rest = rows[~stays]
        units = rest if self.groups is None else np.unique(self.groups[rest])
        what = "samples" if self.groups is None else "groups"
        if len(units) < n_folds:
            raise DataError(
                f"{self.name}: {len(units)} {what} can be divided into at most {len(units)} folds, got "
                f"data.validation.folds {n_folds}; lower it or add samples"
            )
        largest = int(np.bincount(self.classes[rest]).max())
        if largest < n_folds:
            raise DataError(
                f"{self.name}: the largest class has {counted(largest, 'sample')} outside test, fewer than "
                f"data.validation.folds {n_folds}; lower it or add samples"
            )
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import

        division, fold = divmod(number, n_folds)
        kind = StratifiedKFold if self.groups is None else StratifiedGroupKFold
        splitter = kind(n_folds, shuffle=True, random_state=division)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # it is spread over the folds
            parts = list(splitter.split(rest, self.classes[rest], None if self.groups is None else self.groups[rest]))
        kept, taken = parts[fold]
        return np.concatenate([rest[kept], rows[stays]]), rest[taken]

    def _undivided(self, rows: Rows) -> NDArray[np.bool_]:
        """Returns the mask of the rows that stay in train in all folds."""
        classes = self.classes[rows]
        if len(np.unique(self.classes)) == 1:
            return np.zeros(len(rows), bool)
        if self.groups is None:
            return np.asarray(np.bincount(classes)[classes] <= _RARE)
        codes = _codes(self.groups[rows])
        pairs = np.unique(np.stack([classes, codes]), axis=1)
        whole = np.bincount(pairs[0])[pairs[0]] == 1  # pairs of a class and the only group in which it occurs
        return np.isin(codes, pairs[1][whole])

    def warn_of_undivided_classes(self, rows: Rows) -> None:
        """Warns about the classes of `rows` that are not divided."""
        classes, counts = np.unique(self.classes[rows], return_counts=True)
        if not self.warns or len(np.unique(self.classes)) == 1:
            return
        if self.groups is None:
            stays = counts <= _RARE
            reason = f"at most {_RARE} samples each, too few to divide"
        else:
            pairs = np.unique(np.stack([self.classes[rows], _codes(self.groups[rows])]), axis=1)
            stays = np.unique(pairs[0], return_counts=True)[1] == 1
            reason = "all their samples in one group each, and groups are not divided"
        names = [self.class_names[one] if self.class_names else str(one) for one in classes[stays]]
        named = [f"{one} ({counted(n, 'sample')})" for one, n in zip(names, counts[stays], strict=True)]
        if named:
            more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
            self._warn(
                f"some classes have {reason}; all their samples stay in train: class "
                f"{', '.join(named[:_MOST_NAMED])}{more}",
                UndividedClassesWarning,
            )

    def _divide_groups(self, groups: NDArray[Any], rows: Rows, share: float, number: int) -> tuple[Rows, Rows]:
        try:
            chosen = choose_groups(groups, self.classes[rows], share, seed=number)
        except DataError as error:
            raise self._too_few(rows, f"{error}; add samples") from error
        return rows[~chosen], rows[chosen]

    def _divide_samples(self, rows: Rows, share: float, number: int) -> tuple[Rows, Rows]:
        """Returns the kept and the taken rows in scikit-learn's order, on which the next division depends."""
        is_stratified = len(np.unique(self.classes)) > 1
        codes, counts = np.unique(self.classes[rows], return_inverse=True, return_counts=True)[1:]
        stays = is_stratified & (counts[codes] <= _RARE)
        rest, strata = rows[~stays], codes[~stays]
        n_taken, n_classes = math.ceil(share * len(rest)), len(np.unique(strata))
        if len(rest) <= max(n_classes, 1):
            if not is_stratified:
                raise self._too_few(rows, "one cannot be divided; add samples")
            raise self._too_few(rows, f"no class has more than {_RARE}; name another target, or add samples")
        if min(n_taken, len(rest) - n_taken) >= n_classes:
            from sklearn.model_selection import train_test_split  # slow to import

            by = strata if is_stratified else None
            kept, taken = train_test_split(rest, test_size=share, random_state=number, stratify=by)
        else:
            taken = rest[_spread(strata, n_taken, seed=number)]
            kept = np.setdiff1d(rest, taken)
        return np.concatenate([kept, rows[stays]]), taken

    def _too_few(self, rows: Rows, why: str) -> DataError:
        return DataError(f"{self.name}: {counted(len(rows), 'sample')} cannot be divided: {why}")

    def _warn(self, text: str, category: type[DataWarning] = DataWarning) -> None:
        warnings.warn(f"{self.name}: {text}", category, stacklevel=4)


def _spread(classes: NDArray[np.int64], n_chosen: int, *, seed: int) -> Rows:
    """Returns `n_chosen` positions distributed evenly over the classes, or fewer if a class would lose all its samples.

    Used for parts with fewer samples than classes, which scikit-learn does not stratify.
    """
    order = np.random.default_rng(seed).permutation(len(classes))
    kept = order[np.unique(classes[order], return_index=True)[1]]
    free = np.setdiff1d(order, kept, assume_unique=True)
    free = free[np.argsort(classes[free], kind="stable")]
    n_chosen = min(n_chosen, len(free))
    offset = np.random.default_rng(seed).random()
    return np.asarray(free[((np.arange(n_chosen) + offset) * len(free) / n_chosen).astype(np.int64)])


def _named(name: str, splits: NDArray[Any]) -> tuple[Rows, Rows, Rows]:
    unknown = set(np.unique(splits).tolist()) - {"train", "val", "test"}
    if unknown:
        word = sorted(unknown)[0]
        raise DataError(
            f"{name}: the split array must contain train, val and test only, got {word!r} in row "
            f"{int(np.equal(splits, word).argmax())}; correct it"
        )
    train, val, test = (np.flatnonzero(splits == word) for word in ("train", "val", "test"))
    return train, val, test


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _test_is_apart(name: str, groups: NDArray[Any], others: Rows, test: Rows) -> None:
    shared = np.intersect1d(groups[others], groups[test])
    if len(shared):
        raise DataError(
            f"{name}: {len(shared)} groups have samples in test and in train or val, the first is {shared[0]!s}; "
            "correct the split array or name another group"
        )
