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
    """One indicator per frequent category of the training samples, and one for the rare ones.

    A missing value is a category of its own where it is frequent. Unknown categories count as rare ones.

    Attributes:
        names: Frequent categories, the most frequent first; "" is a missing value.
        has_rare: Whether there is an indicator of rare categories: where training samples have some.
    """

    names: tuple[str, ...]
    has_rare: bool

    @classmethod
    def fit(cls, values: Array, config: TableConfig) -> Self:
        """Returns the features of training values (k,)."""
        counts = Counter(texts(values))
        frequent = sorted((-count, name) for name, count in counts.items() if count >= config.min_count)
        names = tuple(name for _, name in frequent[: config.max_categories])
        return cls(names, len(names) < len(counts))

    def encode(self, values: Array) -> tuple[Floats, Wrong]:
        """Returns (n, f) zeros and ones; every value is usable."""
        numbers = {name: number for number, name in enumerate(self.names)}
        codes = [numbers.get(text, len(self.names)) for text in texts(values)]
        features = np.zeros((len(codes), len(self.names) + 1))
        features[np.arange(len(codes)), codes] = 1.0
        return features if self.has_rare else features[:, :-1], []

    def unknown(self, values: Array) -> int:
        """Returns how many of the values (n,) are none of the frequent categories, and not missing."""
        known = {*self.names, ""}
        return sum(text not in known for text in texts(values))

    def state(self) -> dict[str, Any]:
        """Returns the frequent categories."""
        return {"names": list(self.names), "has_rare": self.has_rare}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the features of a `state`."""
        return cls(tuple(state["names"]), state["has_rare"])
