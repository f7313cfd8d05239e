"""What a person should know about a data set before networks are searched for it."""

import hashlib
from collections.abc import Collection, Iterator
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from nasfuse.data.dataset import Batch, Dataset
from nasfuse.data.label_audit import label_findings
from nasfuse.data.progress import tracked
from nasfuse.data.raw_table import Array, RawTable, missing, texts
from nasfuse.data.spellings import spelling_findings
from nasfuse.errors import counted, listed
from nasfuse.spec.data import DataConfig
from nasfuse.spec.modality import columns_of

#: Most names in one line.
_MOST_NAMED = 8
#: Samples that are compared at once.
_N_BATCH = 512
#: Ratio of the largest to the smallest class that is reported.
_IMBALANCE = 4.0
#: Absolute correlation with a regression target above which a column is reported.
_ALIKE = 0.9999


def audit(
    dataset: Dataset,
    *,
    raw: RawTable | None,
    config: DataConfig,
    metric: str = "accuracy",
    told_missing: Collection[str] = (),
) -> list[str]:
    """Returns one sentence for each finding: classes, groups, missing values, spellings, duplicates, leaks and others.

    Args:
        dataset: Data set with a division into train and val.
        raw: Columns from which it was made; None for a shipped set.
        config: Description of the data.
        metric: Metric of the study.
        told_missing: Modalities of which missing values have given a warning when they were read.
    """
    absent = _absent(dataset, told_missing)
    is_dense = dataset.task.size is not None
    classes = label_findings(dataset, metric=metric) if is_dense else _classes(dataset, config, metric)
    findings = [*classes, *absent, *_duplicates(dataset), *_constants(dataset)]
    if raw is not None:
        findings += [
            *_missing(raw, config),
            *spelling_findings(raw, config),
            *(() if is_dense else _leaks(raw, config)),
        ]
    return findings


def _classes(dataset: Dataset, config: DataConfig, metric: str) -> Iterator[str]:
    targets = torch.cat([dataset.train.targets, dataset.val.targets])
    if targets.dtype != torch.int64:
        return
    counts = targets.bincount(minlength=dataset.task.n_outputs)
    names = dataset.class_names or tuple(str(number) for number in range(dataset.task.n_outputs))
    order = counts.argsort().tolist()
    if counts.max() > _IMBALANCE * counts.min():
        few, many = order[0], order[-1]
        yield (
            f"the classes have from {counts[few]} ({names[few]}) to {counts[many]} ({names[many]}) samples outside "
            "test" + ("; accuracy hides rare classes, so consider metric: macro_f1" if metric == "accuracy" else "")
        )
    n_folds = config.validation.folds if config.validation is not None else 0
    small = [names[number] for number in order if counts[number] < n_folds]
    if small:
        yield f"{counted(len(small), 'class')} with fewer samples than the {n_folds} folds: {_listed(small)}"
    absent = sorted(set(dataset.train.targets.tolist()) - set(dataset.test.targets.tolist()))
    if absent:
        those = _listed([names[number] for number in absent])
        yield f"{counted(len(absent), 'class')} without a sample in test: {those}"


def _absent(dataset: Dataset, told: Collection[str]) -> Iterator[str]:
    """Finds modalities that samples lack."""
    splits = [dataset.train, dataset.val, dataset.test]
    for modality in dataset.modalities:
        parts = [present for split in splits if (present := split.columns[modality.name].present) is not None]
        if parts and modality.name not in told:
            lacks = ~torch.cat(parts)
            samples, share = counted(len(lacks), "sample"), 100 * lacks.double().mean()
            yield f"modality {modality.name} is missing in {int(lacks.sum())} of {samples} ({share:.3g} %)"


def _duplicates(dataset: Dataset) -> Iterator[str]:
    """Finds samples that are equal in all modalities and are in two splits."""
    digests = {part: _digests(dataset, part) for part in ("train", "val", "test")}
    for part, others in (("test", ("train", "val")), ("val", ("train",))):
        known = set().union(*(digests[other] for other in others))
        n_equal = sum(digest in known for digest in digests[part])
        if n_equal:
            verb = "is" if n_equal == 1 else "are"
            yield (
                f"{n_equal} of {counted(len(digests[part]), 'sample')} of {part} {verb} equal to samples of "
                f"{' or '.join(others)} in all modalities, so that memorising them is rewarded; remove them, or name a "
                "group"
            )


def _digests(dataset: Dataset, part: str) -> list[bytes]:
    split, names = dataset.split(part), tuple(modality.name for modality in dataset.modalities)
    batches = torch.split(torch.arange(len(split)), _N_BATCH)
    found = (_digests_of_batch(split.batch(rows, names=names)) for rows in batches)
    return list(chain.from_iterable(tracked(f"comparing samples of {part}", found, total=len(batches))))


def _digests_of_batch(batch: Batch) -> list[bytes]:
    pieces = [np.ascontiguousarray(values.flatten(1).numpy()) for values in batch.inputs.values()]
    found = []
    for row in range(len(batch.targets)):
        digest = hashlib.blake2b(digest_size=16)
        for piece in pieces:
            digest.update(np.trim_zeros(piece[row], "b").tobytes())  # batches differ in their padding
        found.append(digest.digest())
    return found


def _constants(dataset: Dataset) -> Iterator[str]:
    for name, scale in dataset.scales.items():
        constant = ~torch.isfinite(scale.std).reshape(-1)
        if constant.any():
            verb = "is" if constant.sum() == 1 else "are"
            share = f"{int(constant.sum())} of {counted(len(constant), 'feature')}"
            yield f"modality {name}: {share} {verb} constant in train"


def _used(raw: RawTable, config: DataConfig) -> list[str]:
    """Returns the columns from which modalities are made."""
    used = chain.from_iterable(columns_of(name, entry) for name, entry in config.modalities.items())
    return [name for name in used if name in raw.columns]


def _missing(raw: RawTable, config: DataConfig) -> Iterator[str]:
    """Finds missing values in columns of tables; of other modalities see `_absent`."""
    columns = [name for entry in config.modalities.values() if entry.kind == "table" for name in entry.columns]
    for name in (name for name in columns if name in raw.columns):
        absent = missing(raw.columns[name])
        if absent.any():
            verb = "is" if absent.sum() == 1 else "are"
            missed = f"{counted(int(absent.sum()), 'value')} {verb} missing"
            yield f"{raw.noun} {name}: {missed} ({100 * absent.mean():.3g} %)"


def _leaks(raw: RawTable, config: DataConfig) -> Iterator[str]:
    """Finds columns from which a target follows, or that are a target in other words."""
    for of_target in config.targets:
        target = raw.columns[of_target]
        for name in _used(raw, config):
            values = raw.columns[name]
            if values.ndim == 1 and target.ndim == 1 and len(values) == len(target) and _tells(values, target):
                yield (
                    f"{raw.noun} {name} has a value of its own for every value of {of_target}, so it may be the target "
                    "in other words; remove it if it is not known when a prediction is needed"
                )


def _tells(values: Array, target: Array) -> bool:
    if any(isinstance(value, np.ndarray) for value in values[:100]):
        return False
    if target.dtype.kind == "f" and values.dtype.kind in "iuf":
        usable = np.isfinite(values) & np.isfinite(target)
        if usable.sum() < 3 or values[usable].std() == 0 or target[usable].std() == 0:
            return False
        return bool(abs(np.corrcoef(values[usable], target[usable])[0, 1]) > _ALIKE)
    codes, others = _codes(values), _codes(target)
    n_pairs = len(np.unique(np.stack([codes, others]), axis=1).T)
    return 1 < n_pairs == len(np.unique(codes)) == len(np.unique(others)) < len(values)


def _codes(values: Array) -> NDArray[np.int64]:
    return np.unique(np.array(texts(values)), return_inverse=True)[1].reshape(-1)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{listed(names[:_MOST_NAMED])}{more}"
