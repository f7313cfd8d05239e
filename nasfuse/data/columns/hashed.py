"""Ids of words by a hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from nasfuse.data.columns.vocabulary import Vocabulary
from nasfuse.data.columns.words import hash_of, words_of
from nasfuse.spec.modality import TextConfig


@dataclass(frozen=True)
class Hashed(Vocabulary):
    """Every word has the id 1 + hash modulo `n_buckets`, so that nothing is fitted and no word is unknown.

    Different words may share an id (the hashing trick, Weinberger et al., 2009, without their signs). A text without
    words is one empty word.

    Attributes:
        n_buckets: Number of ids of words.
    """

    n_buckets: int

    @classmethod
    def fit(cls, texts: Sequence[str], config: TextConfig) -> Self:
        """Returns the vocabulary of `config.vocabulary` ids, whatever the texts."""
        return cls(config.vocabulary)

    @property
    def n_ids(self) -> int:
        """Number of distinct ids."""
        return 1 + self.n_buckets

    def ids(self, text: str) -> list[int]:
        """Returns the ids of the words."""
        return [1 + hash_of(word) % self.n_buckets for word in words_of(text) or [""]]

    def state(self) -> dict[str, Any]:
        """Returns the number of ids."""
        return {"n_buckets": self.n_buckets}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the vocabulary of a `state`."""
        return cls(state["n_buckets"])
