"""The vocabulary of frequent parts of words (byte-pair encoding)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from nasfuse.data.columns.vocabulary import Vocabulary
from nasfuse.data.extras import required
from nasfuse.spec.modality import TextConfig


@dataclass(frozen=True)
class Subwords(Vocabulary):
    """Byte-pair encoding (Sennrich et al., 2016) on the bytes of a text in lower case.

    A word is divided into the longest parts that the merges allow; as every byte is an entry, no word is unknown. The
    last id is that of a text without characters.

    Attributes:
        encoding: Entries and merges as JSON of the package `tokenizers`.
    """

    encoding: str

    @classmethod
    def fit(cls, texts: Sequence[str], config: TextConfig) -> Self:
        """Returns the vocabulary of the 256 bytes and of the most frequent merges, `config.vocabulary` at most.

        Merges with fewer than `config.min_count` occurrences are left out.
        """
        package = _tokenizers()
        tokenizer = package.Tokenizer(package.models.BPE())
        tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = package.trainers.BpeTrainer(
            vocab_size=config.vocabulary,
            min_frequency=config.min_count,
            initial_alphabet=sorted(package.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator([text.casefold() for text in texts], trainer)
        return cls(tokenizer.to_str())

    @property
    def n_ids(self) -> int:
        """Number of distinct ids."""
        return self._n_entries + 2

    def ids(self, text: str) -> list[int]:
        """Returns the ids of the parts of the words."""
        found = self._tokenizer.encode(text.casefold()).ids if text else ()
        return [1 + number for number in found] or [1 + self._n_entries]

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizers().Tokenizer.from_str(self.encoding)

    @cached_property
    def _n_entries(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def state(self) -> dict[str, Any]:
        """Returns entries and merges."""
        return {"encoding": self.encoding}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the vocabulary of a `state`."""
        return cls(state["encoding"])


def _tokenizers() -> Any:
    return required("tokenizers", extra="text", purpose="texts with tokenizer: subwords")
