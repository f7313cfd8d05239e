"""Samples that lack a modality: found as rows of NaN, left out of all statistics, and the same in every division."""

import numpy as np
import pytest
import torch

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.arrays import build_table
from nasfuse.data.layout import check_modality
from nasfuse.errors import DataError

N = 30
LABELS = np.arange(N) % 2
SPLITS = np.array(["train"] * 16 + ["val"] * 7 + ["test"] * 7)
RNG = np.random.default_rng(0)
LACK = np.isin(np.arange(N), [2, 3, 11, 18, 29])


def build(splits=SPLITS, **modalities):
    return build_dataset("toy", modalities, targets=LABELS, task="multiclass", splits=splits)


def everything(split, *names):
    return split.batch(torch.arange(len(split)), names=names)


def numbers(*shape):
    values = RNG.normal(size=(N, *shape)) * 7 + 1000
    values[LACK] = np.nan
    return values


@pytest.mark.parametrize(("kind", "shape"), [("vector", (3,)), ("sequence", (5, 3)), ("image", (3, 4, 6))])
def test_rows_of_nan_are_absent(kind, shape):
    values = numbers(*shape)
    dataset = build(m=ModalityArrays(kind, values))
    assert dataset.modalities[0].can_be_absent
    batch = everything(dataset.train, "m")
    assert batch.present["m"].tolist() == (~LACK[:16]).tolist()
    assert not batch.inputs["m"][torch.from_numpy(LACK[:16])].any()
    features = np.moveaxis(values[:16][~LACK[:16]], 1 if kind == "image" else -1, -1).reshape(-1, 3)
    np.testing.assert_allclose(dataset.scales["m"].mean.flatten(), features.mean(axis=0))
    np.testing.assert_allclose(dataset.scales["m"].std.flatten(), features.std(axis=0))
    first = (values[0] - values[0] * 0 - dataset.scales["m"].mean.numpy()[0]) / dataset.scales["m"].std.numpy()[0]
    np.testing.assert_allclose(batch.inputs["m"][0], first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_an_absent_sequence_has_one_step_and_an_empty_one_is_not_absent(padding):
    values, lengths = RNG.normal(size=(N, 4, 2)), np.tile([2, 3, 4], N // 3)
    steps = np.arange(4)
    padded = steps < 4 - lengths[:, None] if padding == "left" else steps >= lengths[:, None]
    values[padded] = np.nan
    values[LACK] = np.nan
    lengths[5], values[5] = 0, np.nan
    checked, modality = check_modality(
        "m", "m", ModalityArrays("sequence", values, lengths=lengths, padding=padding), n_samples=N
    )
    assert checked.present.tolist() == (~LACK).tolist()
    assert checked.lengths.tolist() == np.where(LACK, 1, lengths).tolist()
    assert modality.can_be_absent
    assert np.isfinite(checked.values).all()


def test_rows_that_samples_share():
    images = RNG.normal(size=(4, 2, 5))
    images[1] = np.nan
    arrays = ModalityArrays("image", images, index=np.arange(N) % 4)
    assert (~everything(build(m=arrays).train, "m").present["m"]).nonzero().flatten().tolist() == [1, 5, 9, 13]


@pytest.mark.parametrize("lengths", [None, np.full(N, 3)])
def test_absent_token_ids_have_no_step(lengths):
    ids = RNG.integers(0, 5, (N, 4))
    arrays = ModalityArrays("sequence", ids, lengths=lengths, vocabulary=5, present=~LACK)
    batch = everything(build(m=arrays).train, "m")
    assert batch.masks["m"].sum(dim=1).tolist() == np.where(LACK, 0, 4 if lengths is None else 3)[:16].tolist()
    assert not batch.inputs["m"][torch.from_numpy(LACK[:16])].any()


def test_bytes_that_are_said_to_be_absent():
    values = RNG.integers(0, 256, (N, 4, 6)).astype(np.uint8)
    dataset = build(m=ModalityArrays("image", values, present=~LACK))
    assert dataset.scales["m"].mean.item() == pytest.approx(values[:16][~LACK[:16]].mean())
    assert not everything(dataset.test, "m").inputs["m"][-1].any()


def test_divisions_and_folds_keep_them_beside_their_samples():
    values = numbers(1)
    values[~LACK, 0] = np.flatnonzero(~LACK)
    modalities = {"m": ModalityArrays("vector", values), "row": ModalityArrays("vector", np.arange(N)[:, None])}
    table = build_table("toy", modalities, targets=LABELS, task="multiclass")
    for dataset in (table.divided(0), table.divided(1), table.fold(1, n_folds=3), table.undivided()):
        for split in (dataset.train, dataset.val, dataset.test):
            column = split.columns["row"]
            rows = column.values[column.index].flatten() * dataset.units["row"].std + dataset.units["row"].mean
            lack = np.isin(rows.flatten().round().int().numpy(), np.flatnonzero(LACK))
            assert split.columns["m"].present.tolist() == (~lack).tolist()
            few = split.columns["m"].of_samples(torch.arange(len(split))[1:])
            assert few.present.tolist() == (~lack)[1:].tolist()


def test_the_fingerprint_counts_them_only_where_there_are_some():
    vector = RNG.normal(size=(N, 3))
    plain, full, some = (
        build(m=ModalityArrays("vector", vector, present=present)) for present in (None, np.ones(N, bool), ~LACK)
    )
    assert plain.fingerprint == full.fingerprint
    assert plain.train.columns["m"].present is full.train.columns["m"].present is None
    assert everything(plain.train, "m").present == {}
    zeroed = build(m=ModalityArrays("vector", np.where(LACK[:, None], 0, vector)))
    assert len({plain.content_fingerprint, some.content_fingerprint, zeroed.content_fingerprint}) == 3


def test_a_modality_that_all_training_samples_lack_is_refused():
    values = np.where(SPLITS[:, None] == "train", np.nan, RNG.normal(size=(N, 2)))
    with pytest.raises(
        DataError, match=r"^toy: modality m is absent from all training samples; remove it from data\.modalities$"
    ):
        build(m=ModalityArrays("vector", values))


def test_a_part_of_a_sample_is_not_absent():
    values = RNG.normal(size=(N, 2))
    values[4, 1] = np.nan
    with pytest.raises(
        DataError,
        match=r"NaN or infinite values in 1 row, the first in row 4, feature 1; clean or impute them, or make all "
        r"numbers of a sample NaN if it lacks the modality$",
    ):
        build(m=ModalityArrays("vector", values))


@pytest.mark.parametrize("has_lengths", [True, False])
def test_a_split_without_a_modality_has_the_batches_without_it(has_lengths):
    lengths = np.tile([1, 3, 4], N // 3) if has_lengths else None
    dataset = build(
        v=ModalityArrays("vector", RNG.normal(size=(N, 2))),
        s=ModalityArrays("sequence", RNG.normal(size=(N, 4, 2)), lengths=lengths),
        q=ModalityArrays("sequence", RNG.integers(1, 5, (N, 4)), lengths=lengths, vocabulary=5),
    )
    every = torch.ones(7, dtype=torch.bool)
    expected = everything(dataset.val, "v", "s", "q").without("s", every).without("q", every)
    found = everything(dataset.val.without("s", "q"), "v", "s", "q")
    for name in "vsq":
        n_steps = found.inputs[name].shape[1]  # batches are as long as their longest sample
        assert torch.equal(found.inputs[name], expected.inputs[name][:, :n_steps])
        assert (name in found.masks) == (name in expected.masks)
    for name, mask in found.masks.items():
        assert torch.equal(mask, expected.masks[name][:, : mask.shape[1]])
        assert not expected.masks[name][:, mask.shape[1] :].any()
    assert {name: present.tolist() for name, present in found.present.items()} == {"s": [False] * 7, "q": [False] * 7}
