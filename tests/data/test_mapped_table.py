"""Data that processes share."""

import contextlib
import json
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from nasfuse.backends.faults import is_fault
from nasfuse.data import load_table
from nasfuse.data.mapped_table import map_table, share_table
from nasfuse.errors import MissingFileError
from nasfuse.spec.data import DataConfig, expand_modalities
from tests.forked import forked


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


def read_everything(folder, number):
    """Reads every sample of a division; prints the bytes of own memory that this took, and those of mapped files."""
    dataset = map_table(folder).divided(number)
    before = own_and_mapped(folder)[0]
    for split in (dataset.train, dataset.val):
        for rows in torch.arange(len(split)).split(16):
            split.batch(rows, names=("image",))
    own, mapped = own_and_mapped(folder)
    print(json.dumps([own - before, mapped]))


def own_and_mapped(folder):
    """Resident bytes of this process that no file backs, and those that files below `folder` back."""
    own = 1024 * int(re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])
    mapped, in_folder = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            in_folder = str(folder) in line
        elif in_folder and line.startswith("Rss:"):
            mapped += 1024 * int(line.split()[1])
    return own, mapped


def test_processes_that_read_all_of_it_share_one_copy(tmp_path):
    """Also with other divisions into train and val: each process reads the pages of one file, and copies none."""
    images = np.random.default_rng(0).integers(0, 256, (3000, 3, 64, 64), np.uint8)
    np.savez(tmp_path / "images.npz", image=images, y=np.arange(3000) % 2)
    plain = {"source": str(tmp_path / "images.npz"), "modalities": {"image": "image"}}
    share_table(
        load_table(DataConfig.parse(expand_modalities({"data": plain})["data"])), (shared := tmp_path / "shared")
    )
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(forked(read_everything, shared, number)) for number in (0, 1)]
        for process in processes:
            printed, errors = process.communicate(timeout=200)
            own, mapped = json.loads(printed or errors)
            assert mapped > 0.95 * images.nbytes, "all of it was read"
            assert own < 0.2 * images.nbytes


@pytest.mark.parametrize("largest", [0, 200, 1000])
def test_a_file_that_cannot_be_written_is_named(table, tmp_path, largest):
    """With a limit on the size of files, which fails as a full disk does but for the number of the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        with pytest.raises(OSError, match=re.escape(f"File too large: '{tmp_path / 'shared'}")):
            share_table(table, tmp_path / "shared")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
