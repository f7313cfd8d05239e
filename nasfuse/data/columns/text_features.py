"""Texts as the vectors of a frozen encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nasfuse.data.columns.base import Problem
from nasfuse.data.columns.frozen_features import Cell, FrozenFeatures, key_of
from nasfuse.data.raw_table import RawTable, texts
from nasfuse.errors import DataError
from nasfuse.spec.modality import FrozenConfig, TextFeaturesConfig


@dataclass(frozen=True)
class TextFeatures(FrozenFeatures):
    """Vector of a text."""

    config_class: ClassVar[type[FrozenConfig]] = TextFeaturesConfig

    @classmethod
    def cells(cls, raw: RawTable, column: str, where: str, known: frozenset[bytes]) -> Sequence[Cell | Problem | None]:
        """Returns the texts, without white space around them."""
        values = raw.column(column, where)
        if values.ndim != 1:
            raise DataError(
                f"{raw.place(column)} must hold text, got {values.dtype} of shape {values.shape}; correct it"
            )
        return [Cell(key_of(text.encode()), text) if text else None for text in texts(values)]

    @staticmethod
    def decode(value: Any) -> Any:
        """Returns the text."""
        return value
