"""Data that processes share."""

import numpy as np
import pytest
import torch

from nasfuse.backends.faults import is_fault
from nasfuse.data import load_table
from nasfuse.data.mapped_table import map_table, share_table
from nasfuse.errors import MissingFileError
from nasfuse.spec.data import DataConfig, expand_modalities


@pytest.fixture
def table(tmp_path):
    """Numbers, sequences of several lengths, images of bytes that samples share, and token ids; three groups."""
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "mine.npz",
        numbers=generator.normal(size=(40, 3)),
        steps=generator.normal(size=(40, 5, 2)),
        n_steps=generator.integers(1, 6, 40),
        pictures=generator.integers(0, 256, (10, 1, 4, 4)).astype(np.uint8),
        which=np.arange(40) % 10,
        words=generator.integers(1, 9, (40, 4)),
        y=np.array(["cat", "dog"])[np.arange(40) % 2],
        person=np.arange(40) // 4,
    )
    modalities = {
        "numbers": "vector",
        "steps": {"kind": "sequence", "lengths": "n_steps"},
        "pictures": {"kind": "image", "index": "which"},
        "words": {"kind": "sequence", "vocabulary": 9},
    }
    plain = {"source": str(tmp_path / "mine.npz"), "modalities": modalities, "group": "person"}
    return load_table(DataConfig.parse(expand_modalities({"data": plain})["data"]))


def batch_of(dataset):
    return dataset.train.batch(torch.arange(len(dataset.train)), names=tuple(m.name for m in dataset.modalities))


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_read_equals_what_was_written(table, tmp_path, number):
    before = table.divided(number)
    expected = batch_of(before)
    share_table(table, tmp_path / "shared")
    for dataset in (before, table.divided(number), map_table(tmp_path / "shared").divided(number)):
        found = batch_of(dataset)
        assert dataset.fingerprint == before.fingerprint
        assert dataset.class_names == ("cat", "dog")
        assert found.targets.equal(expected.targets)
        for name, values in expected.inputs.items():
            assert found.inputs[name].equal(values)
        for name, mask in expected.masks.items():
            assert found.masks[name].equal(mask)


def test_a_map_survives_that_the_files_are_written_again(table, tmp_path):
    """Workers of a search that was killed may still run when it is continued."""
    share_table(table, tmp_path / "shared")
    mapped = map_table(tmp_path / "shared").storages["numbers"].values
    expected = mapped.clone()
    share_table(table, tmp_path / "shared")
    assert mapped.equal(expected)


def test_a_machine_without_the_folder_says_so(tmp_path):
    with pytest.raises(
        MissingFileError, match=r"cannot be read from .*nowhere: No such file.*; the run folder must be on a"
    ):
        map_table(tmp_path / "nowhere")


def test_a_machine_that_does_not_see_the_files_fails_no_trial(tmp_path):
    """It may have joined a cluster after the nodes were checked."""
    with pytest.raises(MissingFileError) as found:
        map_table(tmp_path / "nowhere")
    assert is_fault(found.value)
