"""Texts as word ids."""

from typing import get_args

import numpy as np
import pytest

from nasfuse.data.columns.text import VOCABULARIES, TextColumn
from nasfuse.data.columns.words import words_of
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import TextConfig


def raw(*texts):
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return RawTable("t", "t.csv", {"title": values}, len(texts))


def fit(*texts, rows=None, **options):
    table = raw(*texts)
    rows = np.arange(len(texts)) if rows is None else np.array(rows)
    return TextColumn.fit("title", TextConfig(kind="text", **options), table, rows)


def ids(column, *texts):
    arrays = column.read(raw(*texts)).arrays
    return [row[:length].tolist() for row, length in zip(arrays.values, arrays.lengths, strict=True)]


def test_words_have_ids_by_frequency_and_others_share_one():
    column = fit("red hat", "red red scarf", "hat")
    assert column.vocabulary.words == ("red", "hat")
    assert column.n_ids == 4
    assert ids(column, "red hat", "a RED coat") == [[1, 2], [3, 1, 3]]


def test_words_of_other_rows_are_unknown():
    assert fit("a a", "b b", rows=[0]).vocabulary.words == ("a",)


def test_a_text_without_words_is_one_unknown_word():
    column = fit("red red", "hat")
    assert ids(column, None, "", "  ") == [[2], [2], [2]]


def test_long_texts_are_cut():
    assert fit("a b c d", length=2, min_count=1).n_steps == 2
    assert ids(fit("a b c", min_count=1), "c b a c b") == [[3, 2, 1]]


def test_words_outside_a_full_vocabulary_are_hashed():
    column = fit("a a b b c c", vocabulary=2)
    assert (column.vocabulary.words, column.n_ids) == (("a", "b"), 259)
    (found,) = ids(column, "c d c")
    assert found[0] == found[2] != found[1]
    assert all(3 <= number < 259 for number in found)


def test_hashed_words_need_no_training_text():
    column = fit("red hat", tokenizer="hashed", vocabulary=50)
    assert column.n_ids == 51
    assert ids(column, "red coat", "coat red")[0] == ids(column, "coat red")[0][::-1]


def test_the_state_of_words_has_the_form_of_earlier_files():
    column = fit("red hat", "red red scarf", "hat")
    config = {"kind": "text", "vocabulary": 5000, "min_count": 2, "length": 64}
    state = {"name": "title", "config": config, "words": ["red", "hat"], "n_shared": 1, "n_steps": 3}
    assert TextColumn.from_state(state) == column
    assert state.keys() == column.state().keys()


def test_every_tokenizer_has_a_vocabulary():
    assert set(VOCABULARIES) == set(get_args(TextConfig.model_fields["tokenizer"].annotation))


def test_other_scripts():
    assert words_of("Füße, für 5 €: 日本") == ["füsse", ",", "für", "5", "€", ":", "日本"]
    assert words_of("Don\u2019t") == ["don\u2019t"]


def test_arrays_are_no_text():
    with pytest.raises(DataError, match=r"column title of t\.csv must hold text, got float64 of shape \(2, 3\)"):
        TextColumn.fit(
            "title", TextConfig(kind="text"), RawTable("t", "t.csv", {"title": np.zeros((2, 3))}, 2), np.arange(2)
        )
