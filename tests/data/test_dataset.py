"""Batches: rows through an index, trimmed to the longest sample, zero where padded."""

import torch

from nasfuse.data import Batch, Column, Scale, Split

SCALE = Scale(torch.full((1, 1, 2), 1.0), torch.full((1, 1, 2), 2.0))


def test_a_batch_is_as_long_as_its_longest_sample():
    column = Column(torch.randn(4, 9, 2), lengths=torch.tensor([2, 5, 9, 3]), scale=SCALE)
    values, mask = column.gather(torch.tensor([0, 3]))
    assert values.shape == (2, 3, 2)
    assert mask.tolist() == [[True, True, False], [True, True, True]]


def test_padding_is_zero_whatever_stood_there():
    values = torch.full((2, 4, 2), 99.0)
    values[0, :2] = 3.0
    gathered, mask = Column(values, lengths=torch.tensor([2, 4]), scale=SCALE).gather(torch.arange(2))
    assert (gathered[~mask] == 0).all()
    assert (gathered[0, :2] == 1).all()
    assert (gathered[1] == 49).all()


def test_padded_ids_are_zero():
    gathered, mask = Column(torch.full((2, 4), 7), lengths=torch.tensor([1, 3])).gather(torch.arange(2))
    assert gathered.dtype == torch.int64
    assert gathered.tolist() == [[7, 0, 0], [7, 7, 7]]
    assert mask.shape == (2, 3)


def test_empty_sequences_give_one_step_of_padding():
    gathered, mask = Column(torch.ones(2, 4, 2), lengths=torch.tensor([0, 0]), scale=SCALE).gather(torch.arange(2))
    assert gathered.shape == (2, 1, 2)
    assert not mask.any()


def test_an_index_chooses_the_row():
    column = Column(
        torch.arange(3.0)[:, None], index=torch.tensor([2, 2, 0, 1]), scale=Scale(torch.zeros(1, 1), torch.ones(1, 1))
    )
    values, mask = column.gather(torch.tensor([0, 2, 1]))
    assert values.flatten().tolist() == [2.0, 0.0, 2.0]
    assert mask is None


def test_lengths_belong_to_samples_not_to_rows():
    column = Column(torch.ones(1, 4, 2), index=torch.tensor([0, 0]), lengths=torch.tensor([1, 3]), scale=SCALE)
    assert column.gather(torch.arange(2))[1].sum(1).tolist() == [1, 3]


def test_a_split_gathers_the_named_modalities_only():
    scale = Scale(torch.zeros(1, 1), torch.ones(1, 1))
    columns = {
        "a": Column(torch.arange(5.0)[:, None], scale=scale),
        "b": Column(torch.zeros(5, 3, dtype=torch.int64), lengths=torch.tensor([3, 1, 2, 3, 0])),
    }
    split = Split(columns, torch.arange(5))
    batch = split.batch(torch.tensor([4, 1]), names=("a",))
    assert (list(batch.inputs), list(batch.masks)) == (["a"], [])
    assert batch.inputs["a"].flatten().tolist() == batch.targets.tolist() == [4, 1]
    assert list(split.batch(torch.arange(2), names=("b", "a")).masks) == ["b"]
    assert split.lengths("a") is None
    assert split.lengths("b").tolist() == [3, 1, 2, 3, 0]
    assert len(split) == 5


def test_a_batch_moves_as_a_whole():
    batch = Batch({"a": torch.zeros(2, 3)}, {"a": torch.ones(2, 3, dtype=torch.bool)}, torch.zeros(2))
    moved = batch.to(torch.device("meta"))
    assert moved.inputs["a"].is_meta
    assert moved.masks["a"].is_meta
    assert moved.targets.is_meta


def test_splits_by_name(dataset):
    assert [dataset.split(part) for part in ("train", "val", "test")] == [dataset.train, dataset.val, dataset.test]


def test_a_batch_without_a_modality(make_batch):
    batch = make_batch(["v", "s", "q"], n_samples=3, lengths={"s": [4, 7, 0]})
    lack = torch.tensor([True, False, False])
    found = batch.without("v", lack).without("s", lack).without("q", lack)
    assert all(not found.inputs[name][0].any() for name in "vsq")
    assert all(torch.equal(found.inputs[name][1:], batch.inputs[name][1:]) for name in "vsq")
    assert found.masks["s"].sum(dim=1).tolist() == [1, 7, 0]
    assert found.masks["q"].sum(dim=1).tolist() == [0, 9, 9]
    assert found.masks["s"][0, 0]
    assert all(found.present[name].tolist() == [False, True, True] for name in "vsq")
    again = found.without("v", torch.tensor([False, False, True]))
    assert again.present["v"].tolist() == [False, True, False]
    assert batch.present == {}
