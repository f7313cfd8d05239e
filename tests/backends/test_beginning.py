"""The mark that a training has begun."""

import os

import pytest

from nasfuse.backends.beginning import begun, drop_mark, take_begun
from tests.forked import forked


def die_in_training(folder):
    with begun(folder):
        os._exit(1)


def test_a_death_in_a_training_is_told_once(tmp_path):
    folder = tmp_path / "3"
    assert not take_begun(folder), "a trial whose driver died before it had a folder"
    for _ in range(2):
        with forked(die_in_training, folder) as process:
            process.communicate(timeout=60)
        assert take_begun(folder)
        assert not take_begun(folder)
    drop_mark(folder)
    assert list(folder.iterdir()) == []


def test_nothing_is_left_of_a_training_that_ends(tmp_path):
    with begun(tmp_path):
        pass
    with pytest.raises(ValueError, match="too bad"), begun(tmp_path):
        raise ValueError("too bad")
    assert list(tmp_path.iterdir()) == []
