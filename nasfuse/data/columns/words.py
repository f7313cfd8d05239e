"""The vocabulary of the most frequent words."""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from nasfuse.data.columns.vocabulary import Vocabulary
from nasfuse.spec.modality import TextConfig

#: Ids that words outside a full vocabulary share.
_N_SHARED = 256


@dataclass(frozen=True)
class Words(Vocabulary):
    """One id per frequent word, then `n_shared` ids for all other words. A text without words is one unknown word.

    Attributes:
        words: Words with an id of their own, in the order of their ids from 1.
        n_shared: Number of ids that the other words share: 1, or 256 where words had to be left out of the vocabulary.
    """

    words: tuple[str, ...]
    n_shared: int

    @classmethod
    def fit(cls, texts: Sequence[str], config: TextConfig) -> Self:
        """Returns the vocabulary with the most frequent words of training texts."""
        counts = Counter(word for text in texts for word in words_of(text))
        frequent = sorted((-count, word) for word, count in counts.items() if count >= config.min_count)
        kept = tuple(word for _, word in frequent[: config.vocabulary])
        return cls(kept, 1 if len(frequent) == len(kept) else _N_SHARED)

    @property
    def n_ids(self) -> int:
        """Number of distinct ids."""
        return 1 + len(self.words) + self.n_shared

    def ids(self, text: str) -> list[int]:
        """Returns the ids of the words."""
        known = self._numbers
        return [known[word] if word in known else self._shared(word) for word in words_of(text) or [""]]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}

    def _shared(self, word: str) -> int:
        return 1 + len(self.words) + hash_of(word) % self.n_shared

    def state(self) -> dict[str, Any]:
        """Returns the words."""
        return {"words": list(self.words), "n_shared": self.n_shared}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the vocabulary of a `state`."""
        return cls(tuple(state["words"]), state["n_shared"])


def words_of(text: str) -> list[str]:
    """Returns the words and punctuation marks of a text, in lower case.

    >>> words_of("It's red, isn't it?")
    ["it's", 'red', ',', "isn't", 'it', '?']
    """
    return re.findall(r"\w+(?:['\u2019]\w+)*|[^\w\s]", text.casefold())


def hash_of(word: str) -> int:
    """Returns the 32-bit cyclic redundancy check of a word, which is the same in every process."""
    return zlib.crc32(word.encode())
