"""Which arrays of a file are modalities."""

import numpy as np

from nasfuse.data.array_draft import draft_arrays

N = 40


def test_kinds_follow_from_axes_and_names():
    rng = np.random.default_rng(0)
    arrays = {
        "words": np.arange(N * 5).reshape(N, 5) % 7,
        "n_words": np.arange(N) % 5 + 1,
        "x": rng.normal(size=(N, 3)),
        "steps": np.zeros((N, 9, 3)),
        "grey": np.zeros((N, 8, 8)),
        "rgb": np.zeros((N, 8, 8, 3)),
        "flat": np.zeros((N, 9), np.uint8),
        "tokens": np.full((N, 4), 3, np.uint8),
        "version": np.array(3),
        "names": np.array(["a"] * N),
        "user": np.arange(N) // 4,
        "y": np.arange(N) % 2,
    }
    assert draft_arrays(arrays, target="y") == {
        "words": {"kind": "sequence", "vocabulary": 7, "lengths": "n_words"},
        "x": "vector",
        "steps": "sequence",
        "grey": "image",
        "rgb": "image",
        "flat": "vector",
        "tokens": {"kind": "sequence", "vocabulary": 4},
    }


def test_arrays_with_other_roles_are_left_out():
    assert draft_arrays({"x": np.zeros((3, 2)), "y": np.eye(3)}, target="y", used=("x",)) == {}


def test_lengths():
    arrays = {
        "sig": np.zeros((3, 9, 9)),
        "sig_length": np.array([1, 2, 9]),
        "words": np.array([[0, 5], [1, -1], [3, 4]]),
        "words_len": np.array([2, 1, 2]),
        "other": np.array([[0, 5], [1, -1], [3, 4]]),
        "y": np.arange(3),
    }
    assert draft_arrays(arrays, target="y") == {
        "sig": {"kind": "sequence", "lengths": "sig_length"},
        "words": {"kind": "sequence", "vocabulary": 6, "lengths": "words_len"},
        "other": "vector",
    }


def test_shared_rows_with_an_index():
    arrays = {
        "images": np.zeros((4, 5, 5, 3), np.uint8),
        "image_idx": np.arange(N) % 4,
        "sounds": np.zeros((4, 6, 2)),
        "sound_index": np.arange(N) % 5,
        "y": np.arange(N) % 2,
    }
    assert draft_arrays(arrays, target="y") == {"images": {"kind": "image", "index": "image_idx"}}
