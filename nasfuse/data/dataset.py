"""The data contract: what every data set looks like in memory (`docs/data.md`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nasfuse.domain.modality import Modality, Task


@dataclass(frozen=True)
class Batch:
    """Samples ready for a network.

    Attributes:
        inputs: Modality name to (b, F), (b, T, F), (b, T) token ids or (b, C, H, W).
        masks: Sequence name to (b, T), true where a step is real; absent where every step is.
        targets: (b,) class numbers, or (b, n_outputs) labels or standardised real numbers.
    """

    inputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    targets: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on `device`."""
        return Batch(
            {name: values.to(device, non_blocking=True) for name, values in self.inputs.items()},
            {name: mask.to(device, non_blocking=True) for name, mask in self.masks.items()},
            self.targets.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class Scale:
    """Standardisation of one modality or of regression targets: (x - mean) / std, from the training samples alone.

    Attributes:
        mean: (1, F), (1, 1, F), (1, C, 1, 1) or (1, n_outputs), so that it broadcasts against a batch.
        std: Likewise; infinite for a feature that is constant in train, which therefore becomes 0 everywhere.
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Column:
    """One modality of one split.

    Attributes:
        values: (u, ...) stored rows: float32 numbers, uint8 or ids. All splits of all cuts share them.
        index: (n,) row of each sample; None where sample i is row i.
        lengths: (n,) true steps of each sequence, None where all are full.
        scale: Of the stored numbers, applied when samples are gathered; None for token ids.
    """

    values: Tensor
    index: Tensor | None = None
    lengths: Tensor | None = None
    scale: Scale | None = None

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the normalised samples `rows` and their mask.

        Sequences are cut to the longest of the batch. Padded steps are 0 after standardisation.

        Returns:
            (b, ...) float32 (int64 for ids) and (b, T) bool or None.
        """
        values = self.values.index_select(0, rows if self.index is None else self.index[rows])
        mask = None
        if self.lengths is not None:
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
        return values, mask


@dataclass(frozen=True)
class Split:
    """The samples of train, val or test.

    Attributes:
        columns: Modality name to its column.
        targets: (n,) int64 or (n, n_outputs) float32; those of a regression are standardised.
        groups: (n,) number of each sample's group, None where the data has none.
        target_scale: Mean and standard deviation, (1, n_outputs) float64, by which the targets of a regression are
            standardised; None for classes and labels.
    """

    columns: dict[str, Column]
    targets: Tensor
    groups: Tensor | None = None
    target_scale: Scale | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.targets)

    def batch(self, rows: Tensor, *, names: tuple[str, ...]) -> Batch:
        """Returns the samples `rows` (b,) with the modalities `names` only."""
        inputs, masks = {}, {}
        for name in names:
            inputs[name], mask = self.columns[name].gather(rows)
            if mask is not None:
                masks[name] = mask
        return Batch(inputs, masks, self.targets[rows])

    def lengths(self, name: str) -> Tensor | None:
        """Returns the (n,) true lengths of a sequence, None where all are full."""
        return self.columns[name].lengths


@dataclass(frozen=True)
class Dataset:
    """A data set with its three splits.

    Attributes:
        name: For reports.
        modalities: In the order of the file or configuration.
        task: What is predicted.
        train: Networks are fitted to it.
        val: Everything is chosen on it.
        test: Touched once, at the end.
        fingerprint: 12 hexadecimal digits of the content, recorded with every trial.
        class_names: One per output where known.
        scales: Modality name to the float64 scale of the numbers as they stand in the file; token ids have none.
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

    def split(self, name: str) -> Split:
        """Returns the split called `train`, `val` or `test`."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    @property
    def target_scale(self) -> Scale | None:
        """Scale of the targets of a regression, the same in every split; None for classes and labels."""
        return self.train.target_scale
