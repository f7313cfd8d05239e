"""The fitted preprocessing of data sets. Its transforms are tested in `columns`."""

import numpy as np

from nasfuse.data import ModalityArrays, Preprocessing, as_raw, build_dataset
from nasfuse.data.sources.digits import load_digits


def test_data_given_as_arrays_are_read_by_the_names_of_their_modalities():
    images = np.random.default_rng(0).integers(0, 17, (3, 8, 4)).astype(np.uint8)
    digits = load_digits()
    arrays = digits.preprocessing.arrays(as_raw({"left": images, "right": images[:, ::-1], "more": [1, 2, 3]}))
    assert arrays.keys() == {"left", "right"}
    assert np.array_equal(arrays["left"].values, images)


def test_it_stays_the_same_in_all_divisions_and_after_a_round_trip():
    rng = np.random.default_rng(0)
    modalities = {"ids": ModalityArrays("sequence", rng.integers(0, 5, (40, 3)), vocabulary=5)}
    dataset = build_dataset("toy", modalities, targets=np.arange(40) % 2, task="multiclass")
    state = dataset.preprocessing.state()
    restored = Preprocessing.from_state(state)
    assert restored == dataset.preprocessing
    assert restored.arrays(as_raw({"ids": [[0, 1, 2]]}))["ids"].vocabulary == 5
