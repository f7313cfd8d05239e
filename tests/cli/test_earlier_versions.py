"""Folders, storages and checkpoints of earlier versions are refused in one sentence by every command."""

import sqlite3

import pytest
import torch

RECIPE = """data: {source: digits}
network:
  route: [left]
  streams:
    left: {encoder: mlp, depth: 1, width: 8}
training: {epochs: 1}
"""

#: Commands that read a run, with the options that they need.
READERS = [["status"], ["pareto"], ["report"], ["export", "-o", "r.yaml"], ["search"]]


def forget_format(study_db):
    """Changes a storage into one of an earlier version: without format number, and without metric at some points."""
    with sqlite3.connect(study_db) as connection:
        gone = connection.execute("DELETE FROM study_user_attributes WHERE key = 'format'").rowcount
        connection.execute(
            """UPDATE trial_user_attributes SET value_json = '[{"metric": null}]' WHERE key = 'points'"""
        )
    connection.close()
    assert gone == 1


@pytest.fixture
def run(run_folder, tmp_path):
    """The run folder; its study is also outside of it."""
    (tmp_path / "study.yaml").write_text((run_folder / "study.yaml").read_text())
    return run_folder


def arguments(command, run):
    name, *options = command
    return [name, "study.yaml", "-o", run] if name == "search" else [name, run, *options]


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
class TestRuns:
    def test_a_folder_without_format(self, refuses, run, command):
        (run / "format").unlink()
        (run / "study.yaml").write_text("name: small\nlag: 8\n")  # keys of an earlier version are not reported
        sentence = refuses(*arguments(command, run))
        assert "run was written by an earlier version of nasfuse (it has no format number, and" in sentence
        assert "; read it with that version, or run the search again with its study.yaml and another -o" in sentence

    def test_a_folder_of_a_later_version(self, refuses, run, command):
        (run / "format").write_text("1000\n")
        sentence = refuses(*arguments(command, run))
        assert "run was written by a later version of nasfuse (its format is 1000, and" in sentence

    def test_a_storage_without_format(self, refuses, run, command):
        forget_format(run / "study.db")
        sentence = refuses(*arguments(command, run))
        assert "the storage of study small was written by an earlier version of nasfuse (it has no format" in sentence
        assert "; continue it with that version, or give the study another name or storage" in sentence


class TestTrainings:
    @pytest.fixture
    def folder(self, nasfuse, tmp_path):
        (tmp_path / "r.yaml").write_text(RECIPE)
        assert nasfuse("train", "r.yaml", "-o", "out", "--device", "cpu").code == 0
        return tmp_path / "out"

    def test_a_folder_without_format(self, refuses, folder):
        (folder / "format").unlink()
        for changed in (RECIPE, "network: {lag: 8}"):  # a recipe that cannot be read is not reported as another one
            (folder / "recipe.yaml").write_text(changed)
            sentence = refuses("train", "r.yaml", "-o", "out", "--device", "cpu")
            assert "out was written by an earlier version of nasfuse (it has no format number, and" in sentence
            assert "; train the recipe again in another folder (-o)" in sentence

    @pytest.mark.parametrize("point", [0, 1])
    def test_a_checkpoint(self, refuses, folder, point):
        checkpoint = folder / "seed0" / "model.pt"
        torch.save({"format": 2, "cut": 0}, checkpoint)
        sentence = refuses("evaluate", checkpoint, "--point", point, "--device", "cpu")
        assert "model.pt was written by an earlier version of nasfuse (its format is 2, and" in sentence
        assert sentence.endswith("; train the recipe again")
