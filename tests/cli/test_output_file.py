"""Files that the user names for output: format by suffix, no folders by mistake, nothing lost on a full disk."""

import errno
import os
from functools import partial
from pathlib import Path

import pytest

from nasfuse.cli.output_file import check_empty_folder, check_output
from nasfuse.errors import InvalidInputError, MissingFileError

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".PNG": b"\x89PNG"}


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_of_a_plot_is_its_format(nasfuse, run_folder, tmp_path, suffix):
    assert nasfuse("pareto", run_folder, "--plot", f"x{suffix}").code == 0
    assert (tmp_path / f"x{suffix}").read_bytes().startswith(MAGIC[suffix])


OPTIONS = [
    (["pareto"], "--plot", ".png", ".png, .svg, .pdf"),
    (["pareto"], "--csv", ".csv", ".csv"),
    (["report"], "-o", ".html", ".html, .htm"),
    (["export"], "-o", ".yaml", ".yaml, .yml"),
]


@pytest.mark.parametrize(("verb", "option", "suffix", "known"), OPTIONS)
@pytest.mark.parametrize("name", ["x.txt", "x", "x.png.exe"])
def test_another_suffix_is_refused_with_those_that_are_known(refuses, run_folder, verb, option, suffix, known, name):
    assert f"{option} {name}: the suffix must be one of {known}; change it" in refuses(*verb, run_folder, option, name)


@pytest.mark.parametrize(("verb", "option", "suffix", "known"), OPTIONS)
def test_folders_are_not_created(refuses, run_folder, tmp_path, verb, option, suffix, known):
    before = sorted(tmp_path.iterdir())
    for folder in ("absent", "absent/deep", "/absent-folder-of-a-test"):
        sentence = refuses(*verb, run_folder, option, f"{folder}/x{suffix}")
        assert f"there is no folder {folder}; create it first" in sentence
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/absent-folder-of-a-test").exists()


def test_check_output(tmp_path):
    check_output(None, "--csv", suffixes=(".csv",))
    check_output(tmp_path / "x.csv", "--csv", suffixes=(".csv",))
    with pytest.raises(InvalidInputError, match=r"--csv .* is a folder; give the name of a file \(\.csv\)"):
        check_output(tmp_path, "--csv", suffixes=(".csv",))
    with pytest.raises(MissingFileError, match="there is no folder"):
        check_output(tmp_path / "a" / "x.csv", "--csv", suffixes=(".csv",))


@pytest.mark.parametrize("check", [partial(check_output, suffixes=(".csv",)), check_empty_folder])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, check):
    """Root may write everywhere but on a file system that is mounted to be read, so the answer is replaced."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InvalidInputError, match=r"-o .*x\.csv: the folder .* cannot be written; name another one"):
        check(tmp_path / "x.csv", "-o")


@pytest.fixture
def full_disk(monkeypatch):
    """Lets the files of some names fail as on a full disk: where they are renamed, after all has been written."""

    def fill(*names):
        rename = Path.replace

        def replace(self, target):
            if Path(target).name in names:
                raise OSError(errno.ENOSPC, "No space left on device")
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", replace)

    return fill


@pytest.fixture
def finished(make_run, tmp_path):
    """A search that has spent its budget, so that the command only shows and writes what it found."""
    folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000), (0.95, 5000)], budget={"trials": 3})
    (tmp_path / "study.yaml").write_text(folder.read_study().to_yaml())
    return folder


@pytest.mark.parametrize("names", [["report.html"], ["front.csv"], ["front.png"], ["report.html", "front.csv"]])
def test_a_full_disk_does_not_hide_the_front(nasfuse, finished, full_disk, names):
    full_disk(*names)
    ran = nasfuse("search", "study.yaml", "-o", "run")
    assert ran.code == 1
    assert "Front of small: 3 points" in ran.out
    for name in ("report.html", "front.csv", "front.png"):
        warning = f"warning: run/{name} was not written: No space left on device"
        assert (warning in ran.sentence) == (name in names)
        assert (finished.root / name).exists() == (name not in names)
    assert "nasfuse report run" in ran.sentence
    assert [path.name for path in finished.root.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_does_not_hide_the_json(nasfuse, finished, full_disk):
    full_disk("front.png")
    ran = nasfuse("search", "study.yaml", "-o", "run", "--json")
    assert ran.code == 1
    assert len(ran.json["front"]) == 3


@pytest.mark.parametrize(("verb", "option", "suffix", "known"), OPTIONS)
def test_a_full_disk_is_one_sentence(nasfuse, finished, full_disk, verb, option, suffix, known):
    full_disk(f"x{suffix}")
    ran = nasfuse(*verb, "run", option, f"x{suffix}")
    assert ran.code == 1
    assert f"error: x{suffix}: No space left on device" in ran.sentence
