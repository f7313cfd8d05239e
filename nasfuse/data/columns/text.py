"""Texts as sequences of word ids, with the vocabulary of the training samples."""

import re
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nasfuse.data.columns.base import Reading, Rows, Transform, column_of
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.errors import DataError
from nasfuse.spec.modality import TextConfig

#: Ids that words outside a full vocabulary share.
_N_SHARED = 256


@dataclass(frozen=True)
class TextColumn(Transform):
    """Words of a text as ids: 0 is padding, then one id per word, then `n_shared` ids for all other words.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        words: Words with an id of their own, in the order of their ids from 1.
        n_shared: Number of ids that the other words share: 1, or 256 where words had to be left out of the vocabulary.
        n_steps: Words after which texts are cut: the longest training text, at most `config.length`.
    """

    name: str
    config: TextConfig
    words: tuple[str, ...]
    n_shared: int
    n_steps: int
    stand_in: ClassVar[str] = "an unknown word"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        return (column_of(self.name, self.config.column)[0],)

    @property
    def has_lengths(self) -> bool:
        """Whether the result is a sequence with a length for each row."""
        return True

    @classmethod
    def fit(cls, name: str, config: TextConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the most frequent words of the training samples."""
        column, where = column_of(name, config.column)
        values = raw.column(column, where)
        if values.ndim != 1:
            raise DataError(
                f"{raw.place(column)} must hold text, got {values.dtype} of shape {values.shape}; correct it"
            )
        split = [words_of(text) for text in texts(values[rows])]
        counts = Counter(word for words in split for word in words)
        frequent = sorted((-count, word) for word, count in counts.items() if count >= config.min_count)
        kept = tuple(word for _, word in frequent[: config.vocabulary])
        n_steps = max(min(max(map(len, split), default=0), config.length), 1)
        return cls(name, config, kept, 1 if len(frequent) == len(kept) else _N_SHARED, n_steps)

    @property
    def n_ids(self) -> int:
        """Number of distinct ids."""
        return 1 + len(self.words) + self.n_shared

    def read(self, raw: RawTable) -> Reading:
        """Returns (n, n_steps) ids and their lengths; a text that is empty or without words is one unknown word."""
        column, where = column_of(self.name, self.config.column)
        known = {word: number for number, word in enumerate(self.words, start=1)}
        values = raw.column(column, where)
        named, absent = texts(values), missing(values)
        ids, lengths = np.zeros((len(named), self.n_steps), np.int64), np.zeros(len(named), np.int64)
        for row, text in enumerate(named):
            words = words_of(text)[: self.n_steps] or [""]
            ids[row, : len(words)] = [known[word] if word in known else self._shared(word) for word in words]
            lengths[row] = len(words)
        present = ~absent if absent.any() else None
        arrays = ModalityArrays(
            "sequence", ids, lengths=lengths, vocabulary=self.n_ids, padding="right", present=present
        )
        return Reading(arrays, column=column)

    def _shared(self, word: str) -> int:
        return 1 + len(self.words) + zlib.crc32(word.encode()) % self.n_shared

    def state(self) -> dict[str, Any]:
        """Returns the description and the vocabulary."""
        return {
            "name": self.name,
            "config": self.config.to_plain(),
            "words": list(self.words),
            "n_shared": self.n_shared,
            "n_steps": self.n_steps,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        config = TextConfig.parse(state["config"])
        return cls(state["name"], config, tuple(state["words"]), state["n_shared"], state["n_steps"])


def words_of(text: str) -> list[str]:
    """Returns the words and punctuation marks of a text, in lower case.

    >>> words_of("It's red, isn't it?")
    ["it's", 'red', ',', "isn't", 'it', '?']
    """
    return re.findall(r"\w+(?:['\u2019]\w+)*|[^\w\s]", text.casefold())
