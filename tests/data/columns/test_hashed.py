"""Ids of words by a hash."""

from nasfuse.data.columns.hashed import Hashed
from nasfuse.spec.modality import TextConfig

CONFIG = TextConfig(kind="text", tokenizer="hashed", vocabulary=1000)


def test_ids_are_the_check_sum_of_the_word():
    """0xCBF43926 is the published check value of CRC-32, that of the text 123456789."""
    vocabulary = Hashed.fit([], CONFIG)
    assert vocabulary.ids("123456789") == [1 + 0xCBF43926 % 1000]
    assert vocabulary.n_ids == 1001


def test_nothing_is_fitted():
    assert Hashed.fit(["a b", "c"], CONFIG) == Hashed.fit([], CONFIG)


def test_words_are_those_of_the_other_vocabulary_and_no_word_is_the_empty_one():
    vocabulary = Hashed.fit([], CONFIG)
    assert vocabulary.ids("RED, hat") == [*vocabulary.ids("red"), *vocabulary.ids(","), *vocabulary.ids("hat")]
    assert vocabulary.ids("") == [1]  # the check sum of nothing is 0
