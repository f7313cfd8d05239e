"""Interface of the features that one column of a table becomes."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import Array
from nasfuse.spec.modality import TableConfig

Floats = NDArray[np.float64]
#: Rows with a value that cannot be used, and what is wrong with it.
Wrong = list[tuple[int, str]]


class Feature(ABC):
    """Features of one column, fitted on training samples.

    Attributes:
        training_advice: What else can be done about a value that cannot be used while no network is trained yet.
    """

    training_advice: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def fit(cls, values: Array, config: TableConfig) -> Self:
        """Returns the features of a column with the training values (k,)."""

    @abstractmethod
    def encode(self, values: Array) -> tuple[Floats, Wrong]:
        """Returns (n, f) finite features of the values (n,), and the values that cannot be used.

        These have the features of missing ones.
        """

    def unknown(self, values: Array) -> int:
        """Returns how many of the values (n,) the features do not tell apart, though they are not missing."""
        return 0

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Returns what was fitted, as plain values."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the features of a `state`."""
