"""Padding of sequences: found in front or behind, moved, and of no influence whatever stands there."""

import warnings

import numpy as np
import pytest
import torch

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.padding import clear_padding, move_to_front, padding_side
from nasfuse.errors import DataError, DataWarning

N, STEPS = 40, 6
RNG = np.random.default_rng(0)
LENGTHS = np.arange(N) % (STEPS + 1)
INSIDE = np.arange(STEPS) < LENGTHS[:, None]
NUMBERS = RNG.normal(size=(N, STEPS, 2))
IDS = RNG.integers(1, 9, (N, STEPS))
SPLITS = np.array(["train"] * 20 + ["val"] * 10 + ["test"] * 10)


def padded(values, fill, *, lengths=LENGTHS, left=False):
    """`values` with `fill` as padding; the first `lengths` steps of each row are the data."""
    result = np.full_like(values, fill)
    for row, length in enumerate(lengths):
        where = slice(STEPS - length, STEPS) if left else slice(0, length)
        result[row, where] = values[row, :length]
    return result


def build(values, lengths=LENGTHS, **changes):
    arrays = ModalityArrays("sequence", values, lengths=lengths, **changes)
    return build_dataset("toy", {"m": arrays}, targets=np.arange(N) % 2, task="multiclass", splits=SPLITS)


def batches(dataset):
    parts = (dataset.train, dataset.val, dataset.test)
    return [split.batch(torch.arange(len(split)), names=("m",)).inputs["m"] for split in parts]


def assert_same(one, other):
    assert one.fingerprint == other.fingerprint
    for first, second in zip(batches(one), batches(other), strict=True):
        assert torch.equal(first, second)


KINDS = [
    pytest.param(NUMBERS, {}, (0.0, np.nan, np.inf, -np.inf, 1e300, -1.0), id="numbers"),
    pytest.param(RNG.integers(1, 9, (N, STEPS, 2)), {}, (0, -1, 99), id="whole numbers"),
    pytest.param(IDS, {"vocabulary": 9}, (0, -1, -100, 9, 2**40), id="ids"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("values", "options", "fills"), KINDS)
@pytest.mark.parametrize("is_shared", [False, True])
def test_values_after_the_length_do_not_matter(values, options, fills, is_shared):
    options = options | ({"index": np.arange(N)} if is_shared else {})
    plain = build(padded(values, fills[0]), **options)
    for fill in fills[1:]:
        assert_same(build(padded(values, fill), **options), plain)


@pytest.mark.parametrize(("values", "options", "fills"), KINDS)
@pytest.mark.parametrize("is_told", [False, True])
def test_padding_in_front_is_found_and_moved(values, options, fills, is_told):
    """Numbers other than 0 and those that are not finite may be data, so they are moved only where that is set."""
    plain = build(padded(values, fills[0]), **options)
    is_id = "vocabulary" in options
    for fill in fills:
        if is_told:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert_same(build(padded(values, fill, left=True), padding="left", **options), plain)
        elif is_id or fill == 0 or not np.isfinite(fill):
            with pytest.warns(DataWarning, match=r"^toy: modality m is padded in front: .* moved to the front\. Set "):
                assert_same(build(padded(values, fill, left=True), **options), plain)


@pytest.mark.filterwarnings("error")
def test_padding_right_disables_the_detection():
    values = padded(NUMBERS, 0.0, left=True)
    told = build(values, padding="right")
    assert_same(told, build(np.where(INSIDE[..., None], values, 0.0)))


def test_the_input_is_not_changed():
    values = padded(NUMBERS, np.nan, left=True)
    before = values.copy()
    values.setflags(write=False)
    with pytest.warns(DataWarning, match="padded in front"):
        build(values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("garbage", [9.0, "random"])
def test_arbitrary_values_behind_are_not_taken_for_padding_in_front(garbage):
    values = NUMBERS.copy() if garbage == "random" else padded(NUMBERS, garbage)
    values[3, 0] = 0.0  # a first step that happens to be 0
    assert_same(build(values), build(np.where(INSIDE[..., None], values, 0.0)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lengths", [np.full(N, STEPS), np.zeros(N, int)], ids=["full", "empty"])
def test_lengths_that_show_nothing(lengths):
    assert all(
        torch.isfinite(values).all() for values in batches(build(padded(NUMBERS, np.nan, lengths=lengths), lengths))
    )


def test_a_mixture_is_refused():
    values = padded(NUMBERS, 0.0)
    values[1:10] = padded(NUMBERS, 0.0, left=True)[1:10]
    with pytest.raises(
        DataError,
        match=r"^toy: modality m seems to be padded in front in 7 rows, the first is row 1, but not in 22 rows, the "
        r"first is row 10; set padding: left or padding: right for this modality, or correct its lengths$",
    ):
        build(values)
    assert len(build(values, padding="right").train) == 20


def test_padding_needs_lengths():
    with pytest.raises(DataError, match=r"^toy: modality m has padding: left but no lengths; name its lengths or rem"):
        build(NUMBERS, None, padding="left")


def test_shared_rows_of_several_lengths_are_not_moved():
    index = np.arange(N) % 4
    rows = padded(NUMBERS[:4], 0.0, lengths=[3] * 4)
    build(rows, np.arange(N) % 3 + 1, index=index)
    with pytest.raises(
        DataError, match=r"^toy: modality m has padding: left, but samples with different lengths share"
    ):
        build(rows, np.arange(N) % 3 + 1, index=index, padding="left")


@pytest.mark.parametrize("shape", [(4, 2), (4, 3, 2)])
def test_rows_that_no_sample_uses_do_not_matter(shape):
    rows = RNG.normal(size=shape)
    kind = "vector" if len(shape) == 2 else "sequence"

    def of(values):
        arrays = ModalityArrays(kind, values, index=np.arange(N) % 3)
        return build_dataset("toy", {"m": arrays}, targets=np.arange(N) % 2, task="multiclass", splits=SPLITS)

    plain = of(rows)
    for fill in (np.nan, np.inf, 1e300):
        rows[3] = fill
        assert_same(of(rows), plain)


def test_nan_in_a_real_step_is_refused():
    values = padded(NUMBERS, np.nan)
    values[5, 2] = np.nan
    with pytest.raises(
        DataError, match=r"m holds NaN or infinite values in 1 row, the first in row 5, step 2, feature 0; clean or"
    ):
        build(values)


def test_sequences_that_end_in_nan_need_lengths():
    values = padded(NUMBERS, np.nan).copy()
    values[5, -2:] = np.nan
    arrays = ModalityArrays("sequence", np.where(np.isnan(values), 0.0, values))
    arrays.values[5, -2:] = np.nan
    with pytest.raises(
        DataError, match=r"in 1 row, the first in row 5, step \d+, .*; if sequences end there, name an array"
    ):
        build_dataset("toy", {"m": arrays}, targets=np.arange(N) % 2, task="multiclass", splits=SPLITS)


def test_an_id_outside_the_vocabulary_in_a_real_step_is_refused():
    values = padded(IDS, -100)
    values[5, 2] = 9
    with pytest.raises(
        DataError, match=r"m must hold ids from 0 to 8, got 0 to 9, the first other one in row 5; fix vocabulary"
    ):
        build(values, vocabulary=9)


def test_move_and_clear():
    values = np.array([[[0], [0], [1]], [[0], [2], [3]], [[4], [5], [6]], [[7], [8], [9]]])
    lengths = np.array([1, 2, 3, 0])
    moved = clear_padding(move_to_front(values, lengths), lengths)
    assert moved[..., 0].tolist() == [[1, 0, 0], [2, 3, 0], [4, 5, 6], [0, 0, 0]]
    assert clear_padding(moved, lengths) is moved


def test_data_of_ids_that_begin_with_zero_behind_arbitrary_ids():
    """All rows have arbitrary ids behind their lengths, some begin with id 0, some have id 0 behind by chance."""
    ids = RNG.integers(0, 9, (200, STEPS))
    lengths = RNG.integers(1, STEPS + 1, 200)
    assert padding_side("m", ids, lengths, vocabulary=9) == "right"
