"""Word labels: numbers in alphabetical order, names kept, and refusals."""

import numpy as np
import pytest

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.class_labels import number_words
from nasfuse.errors import DataError

WORDS = np.array(["dog", "cat", "Cat", "eel"] * 10)
VECTOR = np.random.default_rng(0).normal(size=(40, 3))


def build(targets, task="multiclass"):
    return build_dataset("toy", {"m": ModalityArrays("vector", VECTOR)}, targets=targets, task=task)


def test_words_are_class_numbers_in_alphabetical_order():
    numbers, names = number_words("the labels", WORDS)
    assert names == ("Cat", "cat", "dog", "eel")
    assert [names[number] for number in numbers] == WORDS.tolist()


def test_a_data_set_of_words_equals_that_of_their_numbers():
    by_word, by_number = build(WORDS), build(number_words("the labels", WORDS)[0])
    assert by_word.class_names == ("Cat", "cat", "dog", "eel")
    assert by_word.task == by_number.task
    for split in ("train", "val", "test"):
        assert by_word.split(split).targets.equal(by_number.split(split).targets)


def test_words_written_as_digits_are_names():
    assert build(np.array(["10", "9"] * 20)).class_names == ("10", "9")


@pytest.mark.parametrize("word", ["", " cat", "cat "])
def test_missing_and_padded_words_are_refused(word):
    with pytest.raises(DataError, match=r"toy: the labels must be words without spaces at their ends, got .* in row 7"):
        build(np.where(np.arange(40) == 7, word, WORDS))


@pytest.mark.parametrize(("task", "message"), [("regression", "numbers"), ("multilabel", "numbers for multilabel")])
def test_tasks_without_classes_refuse_words(task, message):
    with pytest.raises(DataError, match=message):
        build(WORDS, task)
