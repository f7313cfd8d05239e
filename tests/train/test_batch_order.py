"""Batches of an epoch have each row once; where sequences are padded, they have samples of similar lengths."""

import pytest
import torch

from nasfuse.data.dataset import Column, Split
from nasfuse.train.batch_order import batches_of_epoch


def split_of(**lengths):
    """A split of 96 samples, with sequences whose lengths are given, or None."""
    columns = {name: Column(torch.zeros(96, 40, 1), lengths=of_one) for name, of_one in lengths.items()}
    return Split(columns, torch.zeros(96, dtype=torch.int64))


def batches(split, rows, *, seed=0, size=4, names=("a",)):
    generator = torch.Generator().manual_seed(seed)
    return batches_of_epoch(split, rows, batch_size=size, names=names, generator=generator)


def drawn_lengths(seed=0):
    return torch.randint(1, 41, (96,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("lengths", [None, drawn_lengths()])
@pytest.mark.parametrize("n_rows", [96, 91, 3])
def test_every_row_is_met_once(lengths, n_rows):
    rows = torch.randperm(96, generator=torch.Generator().manual_seed(1))[:n_rows]
    found = batches(split_of(a=lengths), rows)
    assert sorted(torch.cat(found).tolist()) == sorted(rows.tolist())
    assert len(found) == -(-n_rows // 4)
    assert all(len(one) <= 4 for one in found)


def test_without_padding_the_order_is_that_of_a_permutation():
    order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    for one, expected in zip(batches(split_of(a=None), torch.arange(96)), order.split(4), strict=True):
        assert torch.equal(one, expected)


def test_an_epoch_of_few_batches_is_random():
    """Sorted as a whole, all epochs would have the same batches."""
    found = batches(split_of(a=drawn_lengths()), torch.arange(60))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat(found), order)


def test_a_batch_is_hardly_longer_than_its_samples():
    lengths = drawn_lengths()
    share = {}
    for name, known in (("random", None), ("similar", lengths)):
        found = batches(split_of(a=known), torch.arange(96))
        share[name] = lengths.sum().item() / sum(len(one) * lengths[one].max().item() for one in found)
    assert share["random"] < 0.65
    assert share["similar"] > 0.85


def test_epochs_differ_and_a_seed_repeats_them():
    split = split_of(a=drawn_lengths())
    generator = torch.Generator().manual_seed(3)
    options = {"batch_size": 4, "names": ("a",), "generator": generator}
    first, second = (torch.cat(batches_of_epoch(split, torch.arange(96), **options)) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.cat(batches(split, torch.arange(96), seed=3)))


def test_batches_are_not_in_the_order_of_lengths():
    lengths = drawn_lengths()
    longest = [lengths[one].max().item() for one in batches(split_of(a=lengths), torch.arange(64))]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_steps_of_several_sequences_are_added():
    """Lengths that complement each other leave nothing to sort by, so the order of the permutation stays."""
    lengths = drawn_lengths()
    window = torch.cat(batches(split_of(a=lengths, b=41 - lengths), torch.arange(64), names=("a", "b")))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    assert {tuple(one.tolist()) for one in window.split(4)} == {tuple(one.tolist()) for one in order.split(4)}
