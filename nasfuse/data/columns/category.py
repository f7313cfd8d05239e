"""A column of categories as indicators."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from nasfuse.data.columns.feature import Feature, Floats, Wrong
from nasfuse.data.raw_table import Array, texts
from nasfuse.spec.modality import TableConfig


@dataclass(frozen=True)
class Category(Feature):
    """One indicator per frequent category of the training samples, and one for all others and unknown ones.

    A missing value is a category of its own where it is frequent.

    Attributes:
        names: Frequent categories, the most frequent first; "" is a missing value.
    """

    names: tuple[str, ...]

    @classmethod
    def fit(cls, values: Array, config: TableConfig) -> Self:
        """Returns the features of training values (k,)."""
        counts = Counter(texts(values))
        frequent = sorted((-count, name) for name, count in counts.items() if count >= config.min_count)
        return cls(tuple(name for _, name in frequent[: config.max_categories]))

    def encode(self, values: Array) -> tuple[Floats, Wrong]:
        """Returns (n, len(names) + 1) zeros and ones; every value is usable."""
        numbers = {name: number for number, name in enumerate(self.names)}
        codes = [numbers.get(text, len(self.names)) for text in texts(values)]
        features = np.zeros((len(codes), len(self.names) + 1))
        features[np.arange(len(codes)), codes] = 1.0
        return features, []

    def state(self) -> dict[str, Any]:
        """Returns the frequent categories."""
        return {"names": list(self.names)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the features of a `state`."""
        return cls(tuple(state["names"]))
