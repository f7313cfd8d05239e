"""Texts as sequences of ids, with the vocabulary of the training samples."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nasfuse.data.columns.base import ColumnTransform, Reading, Rows, column_of
from nasfuse.data.columns.hashed import Hashed
from nasfuse.data.columns.subwords import Subwords
from nasfuse.data.columns.vocabulary import Vocabulary
from nasfuse.data.columns.words import Words
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.errors import DataError
from nasfuse.spec.modality import TextConfig, Tokenizer

#: Vocabularies by `tokenizer` of a modality.
VOCABULARIES: dict[Tokenizer, type[Vocabulary]] = {"words": Words, "subwords": Subwords, "hashed": Hashed}


@dataclass(frozen=True)
class TextColumn(ColumnTransform):
    """Tokens of a text as ids, of which 0 is padding.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        vocabulary: Ids of the tokens.
        n_steps: Tokens after which texts are cut: the longest training text, at most `config.length`.
    """

    name: str
    config: TextConfig
    vocabulary: Vocabulary
    n_steps: int
    stand_in: ClassVar[str] = "an unknown word"

    @property
    def has_lengths(self) -> bool:
        """Whether the result is a sequence with a length for each row."""
        return True

    @classmethod
    def fit(cls, name: str, config: TextConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the vocabulary of the training samples."""
        column, where = column_of(name, config.column)
        values = raw.column(column, where)
        if values.ndim != 1:
            raise DataError(
                f"{raw.place(column)} must hold text, got {values.dtype} of shape {values.shape}; correct it"
            )
        training = texts(values[rows])
        vocabulary = VOCABULARIES[config.tokenizer].fit(training, config)
        longest = max((len(vocabulary.ids(text)) for text in training), default=1)
        return cls(name, config, vocabulary, min(longest, config.length))

    @property
    def n_ids(self) -> int:
        """Number of distinct ids."""
        return self.vocabulary.n_ids

    def read(self, raw: RawTable) -> Reading:
        """Returns (n, n_steps) ids and their lengths; a text without tokens has one id."""
        column, where = column_of(self.name, self.config.column)
        values = raw.column(column, where)
        named, absent = texts(values), missing(values)
        ids, lengths = np.zeros((len(named), self.n_steps), np.int64), np.zeros(len(named), np.int64)
        for row, text in enumerate(named):
            found = self.vocabulary.ids(text)[: self.n_steps]
            ids[row, : len(found)] = found
            lengths[row] = len(found)
        present = ~absent if absent.any() else None
        arrays = ModalityArrays(
            "sequence", ids, lengths=lengths, vocabulary=self.n_ids, padding="right", present=present
        )
        return Reading(arrays, column=column)

    def state(self) -> dict[str, Any]:
        """Returns the description and the vocabulary."""
        own = {"name": self.name, "config": self.config.to_plain(), "n_steps": self.n_steps}
        return {**own, **self.vocabulary.state()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        config = TextConfig.parse(state["config"])
        return cls(state["name"], config, VOCABULARIES[config.tokenizer].from_state(state), state["n_steps"])
