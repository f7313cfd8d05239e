"""Other data with targets on which a saved network is evaluated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data import Split
from nasfuse.data.description import splits_of
from nasfuse.data.fingerprint import content_digest, shown
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.registry import load_raw
from nasfuse.data.target_scale import standardised
from nasfuse.data.targets import raw_targets
from nasfuse.domain.modality import Task
from nasfuse.domain.task import TASKS
from nasfuse.errors import DataError, InvalidInputError, counted, listed
from nasfuse.prediction.inputs import Inputs
from nasfuse.prediction.new_data import inputs_of
from nasfuse.prediction.saved_network import SavedNetwork
from nasfuse.spec.data import DataConfig, SplitRows
from nasfuse.tasks import task_kind

Array = NDArray[Any]


@dataclass(frozen=True)
class LabelledData:
    """Samples with targets, standardised as in the training of a network.

    Attributes:
        origin: Name of the data in messages.
        samples: All samples that can be used.
        splits: (k,) split of each of them; None if the data have none.
        content_fingerprint: Fingerprint of the samples, equal to that of the training for the same samples.
        problems: Why the other rows cannot be used, by row.
    """

    origin: str
    samples: Split
    splits: Array | None
    content_fingerprint: str
    problems: dict[int, str]

    def part(self, name: str | None) -> tuple[str, Split]:
        """Returns the samples of a split with its name; by default those of `test`, or all if there are no splits.

        Raises:
            InvalidInputError: There are no such samples.
        """
        if self.splits is None:
            if name is not None:
                raise InvalidInputError(f"{self.origin} has no splits, so it has no {name}; leave out --split")
            return "all", self.samples
        name = name or "test"
        rows = torch.from_numpy(np.flatnonzero(self.splits == name))
        if not len(rows):
            found = ", ".join(sorted({str(one) for one in self.splits}))
            raise InvalidInputError(f"{self.origin} has no samples in {name}, only in {found}; choose another --split")
        return name, self.samples.of_samples(rows)


def labelled_data(saved: SavedNetwork, data: DataConfig) -> LabelledData:
    """Returns the samples of a file with targets, of which classes are numbered as in the training of a network.

    Args:
        saved: The network.
        data: Description of the file.

    Raises:
        MissingFileError: The file does not exist.
        DataError: A column or array does not exist or has another form than in the training, or a class or the number
            of targets is another one.
    """
    raw = load_raw(data.source)
    _check_has_targets(raw, data)
    inputs, has_all = _inputs(saved, raw)
    has_classes = task_kind(saved.task.kind).takes_words or TASKS[saved.task.kind].is_dense
    names = saved.output_names if has_classes else ()
    targets, _ = raw_targets(raw, data, class_names=names)
    if len(targets) != inputs.n_rows:
        raise DataError(
            f"{raw.origin} has {counted(len(targets), 'target')} for {counted(inputs.n_rows, 'row')}; align them"
        )
    kept = checked_targets(f"{raw.origin}: the labels", targets[inputs.rows], saved.task, names=saved.output_names)
    scale = saved.target_scale
    digest = content_digest(inputs.checked if has_all else {}, kept.numpy())
    samples = Split(
        inputs.columns,
        kept if scale is None else standardised(kept, scale),
        target_scale=scale,
        rows=torch.from_numpy(inputs.rows),
    )
    is_other = isinstance(data.split, SplitRows) and data.split.n_rows != inputs.n_rows
    splits = None if is_other else splits_of(raw, data, n_rows=inputs.n_rows)
    return LabelledData(
        raw.origin,
        samples,
        splits=None if splits is None else splits[inputs.rows],
        content_fingerprint=shown(digest),
        problems=inputs.problems,
    )


def _check_has_targets(raw: RawTable, data: DataConfig) -> None:
    absent = [column for column in data.targets if column not in raw.columns]
    if absent:
        raise DataError(
            f"{raw.origin} has no targets, the {raw.noun} {listed(absent)}; use `nasfuse predict` for data without "
            f"targets, or name the {raw.noun} as in the training"
        )


def _inputs(saved: SavedNetwork, raw: RawTable) -> tuple[Inputs, bool]:
    """Returns the inputs, and whether they have all modalities of the training, also those that are not read."""
    names = tuple(modality.name for modality in saved.modalities)
    try:
        found = inputs_of(saved, raw, names=names)
    except DataError:
        return inputs_of(saved, raw), False
    return (found, True) if not found.problems else (inputs_of(saved, raw), False)


def checked_targets(where: str, targets: Array, task: Task, *, names: tuple[str, ...]) -> Tensor:
    """Returns targets as a tensor; not every class of the training need occur in them.

    Args:
        where: Prefix of messages.
        targets: Targets of the data.
        task: Task of the training.
        names: Names of the outputs.

    Raises:
        DataError: They are no targets of this task, or have a class or number of outputs that the network has not.
    """
    kind = task_kind(task.kind)
    if kind.takes_words:
        if targets.ndim != 1 or targets.dtype.kind not in "iu":
            raise DataError(f"{where} must be (n,) classes, got {targets.dtype} of shape {targets.shape}; correct them")
        unknown = np.flatnonzero((targets < 0) | (targets >= task.n_outputs))
        if len(unknown):
            raise DataError(
                f"{where} have the class {targets[unknown[0]]} in row {unknown[0]}, and the network knows "
                f"{listed(names)}; evaluate it on data with these classes"
            )
        return torch.from_numpy(targets.astype(np.int64))
    checked, n_outputs = kind.check_targets(where, targets)
    if task.size is not None:
        if tuple(checked.shape[1:]) == task.size:
            return checked
        own, trained = (" x ".join(map(str, size)) for size in (checked.shape[1:], task.size))
        raise DataError(
            f"{where} are maps of {own} pixels, and the network was trained with {trained}; resize them and the images"
        )
    if n_outputs != task.n_outputs:
        raise DataError(
            f"{where} have {n_outputs} outputs, and the network was trained for {task.n_outputs}; evaluate it on data "
            "with the same targets"
        )
    return checked
