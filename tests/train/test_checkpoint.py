"""Checkpoints: the old file or the new one, and no damage goes unnoticed."""

import os
import pickle

import pytest
import torch

from nasfuse.domain.file_format import FORMAT
from nasfuse.errors import CheckpointError, MissingFileError
from nasfuse.train import checkpoint as module
from nasfuse.train import load_checkpoint, save_checkpoint

CONTENT = {"weights": {"a": torch.arange(1000.0)}, "step": 3, "curve": [{"loss": 0.5}], "none": None}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "deep" / "model.pt"
    save_checkpoint(path, CONTENT)
    return path


def test_what_was_saved_is_loaded(path):
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["weights"]["a"], CONTENT["weights"]["a"])
    assert {key: loaded[key] for key in ("step", "curve", "none")} == {
        "step": 3,
        "curve": [{"loss": 0.5}],
        "none": None,
    }


def test_nothing_else_is_left_in_the_folder(path):
    save_checkpoint(path, CONTENT)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt("stop")])
def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch, error):
    def half(content, file):
        file.write(b"half a file")
        raise error

    monkeypatch.setattr(module.torch, "save", half)
    with pytest.raises(type(error), match=str(error)):
        save_checkpoint(path, {"step": 4})
    monkeypatch.undo()
    assert load_checkpoint(path)["step"] == 3
    assert [entry.name for entry in path.parent.iterdir()] == ["model.pt"]


def test_a_full_disk_before_the_exchange_leaves_the_old_file(path, monkeypatch):
    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, {"step": 4})
    assert load_checkpoint(path)["step"] == 3


@pytest.mark.parametrize("keep", [0, 1, 10, 500, -1, -200])
def test_a_cut_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        CheckpointError, match=r"model\.pt is damaged or cut off; copy it again, or train the recipe .*$"
    ):
        load_checkpoint(path)


def test_no_byte_of_the_content_can_change_unnoticed(path):
    good = path.read_bytes()
    n_refused = 0
    for place in range(0, len(good), 37):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            loaded = load_checkpoint(path)
        except CheckpointError:
            n_refused += 1
        else:  # a byte of the archive's own padding or time stamps
            assert torch.equal(loaded["weights"]["a"], CONTENT["weights"]["a"])
            assert all(loaded[key] == CONTENT[key] for key in ("step", "curve", "none"))
    assert n_refused > 100


class Evil:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_nothing_in_a_file_is_executed(path, monkeypatch, write):
    monkeypatch.chdir(path.parent)
    write({"format": FORMAT, "weights": Evil()}, path)
    with pytest.raises(CheckpointError, match="is damaged or cut off"):
        load_checkpoint(path)
    assert not (path.parent / "owned").exists()


@pytest.mark.parametrize("content", [{"step": 3}, [1, 2], torch.zeros(3)])
def test_other_files_of_torch_are_refused(path, content):
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"is not a nasfuse checkpoint; train the recipe again$"):
        load_checkpoint(path)


@pytest.mark.parametrize(("number", "version"), [(1, "an earlier"), (2, "an earlier"), (99, "a later")])
def test_other_formats_are_refused(path, number, version):
    torch.save({"format": number, "network": {}}, path)
    expected = (
        f"model.pt was written by {version} version of nasfuse .its format is {number}, .*; train the recipe again$"
    )
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"^no such checkpoint: .*absent\.pt\. Give the path of a model"):
        load_checkpoint(tmp_path / "absent.pt")
