"""First layer of a deployed network: from the numbers of the data to standardised inputs, masks and presence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.data import Scale, Split
from nasfuse.domain.modality import Modality


@dataclass(frozen=True)
class RawInput:
    """A modality as a deployed network reads it.

    Attributes:
        modality: Description of the modality.
        has_lengths: Whether samples have different numbers of steps.
        can_be_absent: Whether samples may lack it.
        unit: Scale from the numbers of the data to the stored ones, float64; None for token ids.
        stored_scale: Scale of the stored numbers, float32; None for token ids.
    """

    modality: Modality
    has_lengths: bool
    can_be_absent: bool
    unit: Scale | None
    stored_scale: Scale | None

    @property
    def name(self) -> str:
        """Name of the modality."""
        return self.modality.name

    @property
    def masked(self) -> bool:
        """Whether the network gets a mask: for lengths, and for token ids, of which an absent sample has none."""
        is_ids = self.modality.vocabulary is not None
        return self.has_lengths or (is_ids and self.can_be_absent)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the graph: int64 ids, float32 for bytes, else float64, in which offsets lose no digits."""
        if self.unit is None:
            return torch.int64
        is_bytes = bool((self.unit.mean == 0).all() and (self.unit.std == 1).all())
        return torch.float32 if is_bytes else torch.float64

    def to_plain(self) -> dict[str, Any]:
        """Returns the entry of the manifest."""
        modality = self.modality
        return {
            "name": modality.name,
            "kind": modality.kind,
            "shape": list(modality.shape),
            "dtype": str(self.dtype).removeprefix("torch."),
            "vocabulary": modality.vocabulary,
            "padding": modality.padding,
            "has_lengths": self.has_lengths,
            "masked": self.masked,
            "can_be_absent": self.can_be_absent,
        }


def _joined(unit: Scale | None, stored: Scale | None) -> tuple[Tensor, Tensor]:
    """Returns the offset and the factor, float64, of both scales one after the other: (x - offset) factor.

    A feature without spread in the data is 0 in the stored numbers whatever it is, and so is its mean there.
    """
    assert unit is not None and stored is not None, "only numbers are float64"
    has_spread = ~torch.isinf(unit.std)
    mean, std = stored.mean.double(), stored.std.double()
    offset = unit.mean + torch.where(has_spread, unit.std, 0.0) * mean
    return offset, torch.where(has_spread, 1 / (unit.std * std), 0.0)


class RawInputs(nn.Module):
    """Standardises inputs as `nasfuse.data.dataset.Column.gather` does."""

    def __init__(self, inputs: Sequence[RawInput]) -> None:
        """Stores the scales."""
        super().__init__()
        self.inputs = tuple(inputs)
        self._at_once = {one.name: _joined(one.unit, one.stored_scale) for one in inputs if one.dtype == torch.float64}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors: the values, and where there are such, lengths and presence of each modality."""
        return tuple(self._names())

    def _names(self) -> Iterator[str]:
        for one in self.inputs:
            yield one.name
            if one.masked:
                yield f"{one.name}.lengths"
            if one.can_be_absent:
                yield f"{one.name}.present"

    def examples(self, n_samples: int) -> dict[str, Tensor]:
        """Returns inputs by name with random values, and lengths that differ."""
        generator = torch.Generator().manual_seed(n_samples)
        found: dict[str, Tensor] = {}
        for one in self.inputs:
            shape = (n_samples, *one.modality.shape)
            if one.unit is None or one.stored_scale is None:
                found[one.name] = torch.randint(one.modality.vocabulary or 1, shape, generator=generator)
            else:
                noise = torch.randn(shape, generator=generator, dtype=torch.float64)
                stored = noise * one.stored_scale.std + one.stored_scale.mean
                spread = torch.where(torch.isinf(one.unit.std), 0.0, one.unit.std)
                found[one.name] = (stored * spread + one.unit.mean).to(one.dtype)
            if one.masked:
                longest = one.modality.shape[0]
                found[f"{one.name}.lengths"] = longest - torch.arange(n_samples) % longest
            if one.can_be_absent:
                found[f"{one.name}.present"] = torch.ones(n_samples, dtype=torch.bool)
        return found

    def of_samples(self, samples: Split, rows: Tensor) -> dict[str, Tensor]:
        """Returns the inputs by name of the samples `rows`, with the numbers of the data."""
        found: dict[str, Tensor] = {}
        for one in self.inputs:
            column = samples.columns[one.name]
            values = column.values.index_select(0, rows if column.index is None else column.index[rows])
            if one.unit is not None:
                spread = torch.where(torch.isinf(one.unit.std), 0.0, one.unit.std)
                values = (values.double() * spread + one.unit.mean).to(one.dtype)
            n_steps = one.modality.shape[0]
            if one.has_lengths and values.shape[1] < n_steps:
                rest = values.new_zeros(len(rows), n_steps - values.shape[1], *values.shape[2:])
                values = torch.cat([values, rest], dim=1)
            found[one.name] = values
            if one.masked:
                found[f"{one.name}.lengths"] = (
                    torch.full((len(rows),), n_steps) if column.lengths is None else column.lengths[rows]
                )
            if one.can_be_absent:
                present = column.present
                found[f"{one.name}.present"] = (
                    torch.ones(len(rows), dtype=torch.bool) if present is None else present[rows]
                )
        return found

    def forward(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Returns inputs, masks and presence as `nasfuse.nn.network.Network.forward` takes them."""
        inputs, masks, present = {}, {}, {}
        for one in self.inputs:
            values = tensors[one.name]
            if one.unit is not None and one.stored_scale is not None:
                if one.name in self._at_once:
                    offset, factor = self._at_once[one.name]
                    values = ((values - offset) * factor).float()
                else:
                    values = (values - one.stored_scale.mean) / one.stored_scale.std
            if one.masked:
                steps = torch.arange(one.modality.shape[0], device=values.device)
                masks[one.name] = steps < tensors[f"{one.name}.lengths"][:, None]
                values = values * masks[one.name].view(*values.shape[:2], *[1] * (values.dim() - 2))
            if one.can_be_absent:
                present[one.name] = tensors[f"{one.name}.present"]
                absent = ~present[one.name].view(-1, *[1] * (values.dim() - 1))
                values = values.masked_fill(absent, 0)
            inputs[one.name] = values
        return inputs, masks, present
