"""Format of data sets in memory (`docs/data.md`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nasfuse.data.preprocessing import Preprocessing
from nasfuse.domain.modality import Modality, Task


@dataclass(frozen=True)
class Batch:
    """Input of a network.

    Attributes:
        inputs: Values by modality: (b, F), (b, T, F), (b, T) token ids or (b, C, H, W).
        masks: Masks by sequence, (b, T): true for data, false for padding; absent if no sequence is padded.
        targets: (b,) class numbers, (b, n_outputs) labels or standardised real numbers, or (b, H, W) uint8 label maps.
        present: Samples that have a modality, (b,) bool; no entry if all have it. See `without` for the others.
    """

    inputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    targets: Tensor
    present: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on `device`."""
        return Batch(
            {name: values.to(device, non_blocking=True) for name, values in self.inputs.items()},
            {name: mask.to(device, non_blocking=True) for name, mask in self.masks.items()},
            self.targets.to(device, non_blocking=True),
            {name: present.to(device, non_blocking=True) for name, present in self.present.items()},
        )

    def without(self, name: str, absent: Tensor) -> "Batch":
        """Returns the batch in which the samples `absent` (b,) lack modality `name`.

        Their values are 0, the mean after standardisation. An absent sequence of numbers with a mask has one step;
        token ids, for which no id is a mean, have none.
        """
        values, masks = self.inputs[name], dict(self.masks)
        mask = masks.get(name)
        if not values.is_floating_point():
            mask = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
            masks[name] = mask & ~absent[:, None]
        elif mask is not None:
            first = torch.arange(mask.shape[1], device=mask.device) == 0
            masks[name] = torch.where(absent[:, None], first, mask)
        present = self.present[name] & ~absent if name in self.present else ~absent
        inputs = {**self.inputs, name: blanked(values, absent)}
        return Batch(inputs, masks, self.targets, {**self.present, name: present})


def blanked(values: Tensor, rows: Tensor) -> Tensor:
    """Returns `values` (b, ...) with 0 in the samples `rows` (b,) bool."""
    return values.masked_fill(rows.view(-1, *[1] * (values.dim() - 1)), 0)


@dataclass(frozen=True)
class Scale:
    """Standardisation (x - mean) / std of one modality or of regression targets, with training statistics.

    Attributes:
        mean: Mean in a shape that broadcasts to a batch: (1, F), (1, 1, F), (1, C, 1, 1) or (1, n_outputs).
        std: Standard deviation in the same shape; infinite for a feature that is constant in train, which therefore
            becomes 0.
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Column:
    """One modality of one split.

    Attributes:
        values: (u, ...) stored rows: float32 numbers, uint8, uint16 or ids, shared by the splits of all divisions.
        index: (n,) row of each sample; None if sample i is row i.
        lengths: (n,) true length of each sequence; None if all have full length.
        scale: Scale of the stored numbers, applied by `gather`; None for token ids.
        present: (n,) bool, false for samples that lack the modality; None if all have it.
        is_filled: Whether stored rows are fixed features of inputs, of absent ones, too, and of sequences of `lengths`:
            they are neither cut to a length nor set to 0.
    """

    values: Tensor
    index: Tensor | None = None
    lengths: Tensor | None = None
    scale: Scale | None = None
    present: Tensor | None = None
    is_filled: bool = False

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the standardised samples `rows` and their mask.

        Sequences are truncated to the largest length in the batch. Padded steps are 0 after standardisation, and so are
        samples that lack the modality.

        Returns:
            (b, ...) float32 (int64 for ids) and (b, T) bool or None.
        """
        values = self.values.index_select(0, rows if self.index is None else self.index[rows])
        mask = None
        if self.lengths is not None and not self.is_filled:
            lengths = self.lengths[rows]
            longest = max(int(lengths.max()), 1)
            values = values[:, :longest]
            mask = torch.arange(longest) < lengths[:, None]
        if self.scale is None:
            values = values.long()
        else:
            values = (values.float() - self.scale.mean) / self.scale.std
        if mask is not None:
            values = values * mask.view(*mask.shape, *[1] * (values.dim() - 2))
        if self.present is not None and not self.is_filled:
            values = blanked(values, ~self.present[rows])
        return values, mask

    def of_samples(self, rows: Tensor) -> "Column":
        """Returns the modality of the samples `rows` (k,)."""
        index = rows if self.index is None else self.index[rows]
        lengths, present = (None if part is None else part[rows] for part in (self.lengths, self.present))
        return replace(self, index=index, lengths=lengths, present=present)

    def emptied(self, n_samples: int) -> "Column":
        """Returns the modality of `n_samples` that all lack it, with lengths as `Batch.without` has them."""
        lengths = None if self.lengths is None else torch.ones(n_samples, dtype=torch.int64)
        if self.scale is None:
            lengths = torch.zeros(n_samples, dtype=torch.int64)
        return replace(self, lengths=lengths, present=torch.zeros(n_samples, dtype=torch.bool), is_filled=False)


@dataclass(frozen=True)
class Split:
    """The samples of train, val or test.

    Attributes:
        columns: Columns by modality.
        targets: (n,) int64 or (n, n_outputs) float32; regression targets are standardised. Label maps are (n, H, W)
            uint8, with `nasfuse.domain.task.VOID` where there is no label.
        groups: (n,) number of the group of each sample; None if the data have no groups.
        target_scale: Scale of regression targets, (1, n_outputs) float64; None for other tasks.
        rows: (n,) row of each sample in the file, counted from 0; None where it is not known.
    """

    columns: dict[str, Column]
    targets: Tensor
    groups: Tensor | None = None
    target_scale: Scale | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self.targets)

    def batch(self, rows: Tensor, *, names: tuple[str, ...]) -> Batch:
        """Returns the samples `rows` (b,) with the modalities `names`."""
        inputs, masks, present = {}, {}, {}
        for name in names:
            column = self.columns[name]
            inputs[name], mask = column.gather(rows)
            if mask is not None:
                masks[name] = mask
            if column.present is not None:
                present[name] = column.present[rows]
        return Batch(inputs, masks, self.targets[rows], present)

    def without(self, *names: str) -> "Split":
        """Returns the split in which all samples lack the modalities `names`."""
        columns = {name: self.columns[name].emptied(len(self)) for name in names}
        return replace(self, columns={**self.columns, **columns})

    def of_samples(self, rows: Tensor) -> "Split":
        """Returns the split of the samples `rows` (k,)."""
        columns = {name: column.of_samples(rows) for name, column in self.columns.items()}
        groups, numbers = (None if part is None else part[rows] for part in (self.groups, self.rows))
        return replace(self, columns=columns, targets=self.targets[rows], groups=groups, rows=numbers)

    def lengths(self, name: str) -> Tensor | None:
        """Returns the (n,) true lengths of a sequence; None if all have full length."""
        return self.columns[name].lengths


@dataclass(frozen=True)
class Dataset:
    """A data set with its three splits.

    Attributes:
        name: Name in reports.
        modalities: Descriptions of the modalities, in the order of the file or configuration.
        task: Prediction task.
        train: Samples for training.
        val: Samples for model selection.
        test: Samples for the final evaluation.
        fingerprint: Hash of the content (12 hexadecimal digits), recorded with every trial.
        class_names: Names of the outputs, if known.
        scales: Scales of the numbers in the file by modality, float64; token ids have none.
        preprocessing: How raw columns become the modalities, fitted on the training samples.
        units: Scales from the numbers in the file to those of `Column.values`, float64; token ids have none.
        content_fingerprint: Hash of the samples without their division into splits (12 hexadecimal digits).
    """

    name: str
    modalities: tuple[Modality, ...]
    task: Task
    train: Split
    val: Split
    test: Split
    fingerprint: str
    class_names: tuple[str, ...] = field(default=())
    scales: Mapping[str, Scale] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    units: Mapping[str, Scale] = field(default_factory=dict)
    content_fingerprint: str = ""

    def split(self, name: str) -> Split:
        """Returns the split called `train`, `val` or `test`."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    @property
    def target_scale(self) -> Scale | None:
        """Returns the scale of regression targets, equal in all splits; None for other tasks."""
        return self.train.target_scale
