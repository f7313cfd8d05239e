"""Interface of the vocabularies that turn a text into ids."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from nasfuse.spec.modality import TextConfig


class Vocabulary(ABC):
    """Ids of the tokens of a text, fitted on training texts; id 0 is padding and occurs in no text."""

    @classmethod
    @abstractmethod
    def fit(cls, texts: Sequence[str], config: TextConfig) -> Self:
        """Returns the vocabulary of training texts, which depends on their contents alone.

        Raises:
            MissingPackageError: It needs a package that is not installed.
        """

    @property
    @abstractmethod
    def n_ids(self) -> int:
        """Number of distinct ids, with the one of padding."""

    @abstractmethod
    def ids(self, text: str) -> list[int]:
        """Returns the ids of the tokens of any text, each from 1 to `n_ids` - 1; at least one."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Returns what was fitted, as plain values."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the vocabulary of a `state`."""
