"""What a person should know about label maps before networks are searched for them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nasfuse.data.dataset import Dataset
from nasfuse.domain.task import VOID
from nasfuse.errors import counted, listed

#: Most classes whose shares are given.
_MOST_CLASSES = 40
#: Share of the labelled pixels from which a single class is reported.
_MOST_OF_ALL = 0.9


def label_facts(dataset: Dataset) -> dict[str, str]:
    """Returns the size of the label maps, and the share of each class in the labelled pixels of train.

    Args:
        dataset: Data set with label maps.
    """
    assert dataset.task.size is not None, "the task has label maps"
    counts = _counts(dataset.train.targets, dataset.task.n_outputs)
    names, total = _names(dataset), max(int(counts.sum()), 1)
    shares = [f"{name} {count / total:.2%}" for name, count in zip(names, counts.tolist(), strict=True)]
    more = ", ..." if len(shares) > _MOST_CLASSES else ""
    height, width = dataset.task.size
    return {"label maps": f"{height} x {width} pixels", "pixels": ", ".join(shares[:_MOST_CLASSES]) + more}


def label_findings(dataset: Dataset, *, metric: str) -> Iterator[str]:
    """Yields one sentence for each finding: pixels without a label, absent classes, and one class nearly everywhere.

    Args:
        dataset: Data set with label maps.
        metric: Metric of the study.
    """
    names, absent = _names(dataset), {}
    for part in ("train", "val", "test"):
        targets = dataset.split(part).targets
        counts = _counts(targets, dataset.task.n_outputs)
        absent[part] = [name for name, count in zip(names, counts.tolist(), strict=True) if not count]
        share = 1 - int(counts.sum()) / max(targets.numel(), 1)
        if share:
            yield f"{part}: {share:.2%} of the pixels have no label and count nowhere"
    for part, lacking in absent.items():
        if lacking:
            effect = "they are never predicted" if part == "train" else "they do not count in its metric"
            which = f"{counted(len(lacking), 'class')}: {listed(lacking[:_MOST_CLASSES])}"
            yield f"{part} has no pixel of {which}; {effect}"
    counts = _counts(dataset.train.targets, dataset.task.n_outputs)
    largest = int(counts.argmax())
    share = int(counts[largest]) / max(int(counts.sum()), 1)
    if share > _MOST_OF_ALL:
        hint = "; miou shows the others, unlike pixel_accuracy" if metric == "pixel_accuracy" else ""
        yield f"{share:.2%} of the labelled pixels of train are {names[largest]}{hint}"


def _names(dataset: Dataset) -> tuple[str, ...]:
    return dataset.class_names or tuple(str(number) for number in range(dataset.task.n_outputs))


def _counts(targets: Tensor, n_classes: int) -> Tensor:
    """Returns the (n_classes,) numbers of pixels of each class."""
    counts = torch.zeros(VOID + 1, dtype=torch.int64)
    for one in targets:
        counts += torch.bincount(one.flatten(), minlength=VOID + 1)
    return counts[:n_classes]
