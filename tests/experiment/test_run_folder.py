"""The folder of a run: whose it is, one writer at a time, and nothing of anybody else is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nasfuse.errors import ConfigError, InvalidInputError, MissingFileError, RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.run_folder import RunFolder, drop_scratch
from nasfuse.spec.study import StudyConfig

PLAIN = {
    "name": "x",
    "data": {"source": "digits"},
    "space": {"fields": {"training.lr": {"choices": [0.1]}}},
    "budget": {"trials": 1},
}
STUDY = StudyConfig.parse(PLAIN)


def study(**changes):
    return StudyConfig.parse({**PLAIN, **changes})


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "x")


def test_a_new_folder_is_claimed_for_a_study(folder):
    folder.check(STUDY)
    assert not folder.root.exists(), "a check writes nothing"
    folder.claim(STUDY)
    assert folder.read_study() == STUDY
    folder.claim(STUDY)


def test_budget_and_limits_may_change(folder):
    folder.claim(STUDY)
    longer = study(budget={"minutes": 5}, max_macs=7, resources={"workers": 2}, storage="postgresql://h/x")
    folder.claim(longer)
    assert folder.read_study() == longer


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed differs"),
        ({"name": "y"}, "name differs"),
        ({"metric": "macro_f1", "sampler": "random"}, "metric, sampler differ"),
        ({"space": {"fields": {"training.lr": {"choices": [0.2]}}}}, "space differs"),
        ({"data": {"source": "y.npz"}}, "data differs"),
    ],
)
def test_the_folder_of_another_study_is_left_alone(folder, changes, named):
    folder.claim(STUDY)
    before = files(folder.root)
    with pytest.raises(RunFolderError, match=f"holds another study: {named}. Choose another folder with -o"):
        folder.claim(study(**changes))
    assert files(folder.root) == before


def test_trials_belong_to_a_study_of_the_storage(folder):
    folder.claim(STUDY)
    folder.check_storage(STUDY, [])
    (folder.root / "trials" / "0").mkdir(parents=True)
    folder.check_storage(STUDY, ["y", STUDY.name])
    with pytest.raises(RunFolderError, match="has trials of x, but its storage has no study of this name; correct"):
        folder.check_storage(STUDY, ["y"])


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="exists and is not a run folder; choose another with -o"):
        RunFolder(tmp_path).claim(STUDY)
    assert files(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_search_that_ended_before_it_claimed_its_folder_leaves_it_free(folder):
    folder.root.mkdir(parents=True)
    (folder.root / "study.db").write_text("of somebody")
    with pytest.raises(RunFolderError, match="exists and is not a run folder"):
        folder.claim(STUDY)
    with folder.locked():
        folder.claim(STUDY)
    assert folder.read_study() == STUDY


def test_a_study_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.to_yaml() + "# my notes\n")
    with pytest.raises(RunFolderError, match=r"has a study\.yaml that no search has written, so it is not"):
        RunFolder(tmp_path).claim(STUDY)
    assert files(tmp_path) == {"study.yaml": (STUDY.to_yaml() + "# my notes\n").encode()}


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunFolderError, match="is a file, not a run folder; choose another with -o"):
        RunFolder(tmp_path / "x").check_writable()
    assert files(tmp_path) == {"x": b"mine"}


@pytest.mark.parametrize("text", ["", "name: [", "name: x\n", "- a\n", "name: x\n\tdata: y"])
def test_a_damaged_study_file(folder, text):
    folder.claim(STUDY)
    folder.study_file.write_text(text)
    with pytest.raises(ConfigError, match=r"study\.yaml has"):
        folder.read_study()
    with pytest.raises(RunFolderError, match=r"holds a study\.yaml that cannot be read"):
        folder.claim(STUDY)
    assert folder.study_file.read_text() == text


@pytest.mark.parametrize("was_there", [False, True])
def test_a_refused_search_removes_only_a_folder_of_its_own(folder, was_there):
    if was_there:
        folder.root.mkdir(parents=True)
    with pytest.raises(RunFolderError), folder.locked():
        (folder.root / "study.db").touch()
        raise RunFolderError("refused")
    assert folder.root.exists() is was_there


def test_a_refused_search_removes_no_file_of_others(folder):
    with pytest.raises(RunFolderError), folder.locked():
        (folder.root / "mine.txt").touch()
        raise RunFolderError("refused")
    assert (folder.root / "mine.txt").exists()


def test_a_refused_driver_among_others_leaves_their_folder(folder):
    with pytest.raises(RunFolderError), folder.locked(driver="first"):
        raise RunFolderError("refused")
    assert not folder.root.exists()
    with folder.locked(driver="first"):
        with pytest.raises(RunFolderError), type(folder)(folder.root).locked(driver="second"):
            raise RunFolderError("refused")
        assert folder.is_locked()
        assert folder.is_free()


def test_a_refused_search_whose_folder_has_been_moved_says_why_it_was_refused(folder):
    with pytest.raises(RunFolderError, match="refused"), folder.locked():
        folder.root.rename(folder.root.with_name("moved"))
        raise RunFolderError("refused")


def test_a_search_that_finds_the_folder_locked_removes_nothing(folder):
    with folder.locked(), pytest.raises(RunFolderError, match="another search"), type(folder)(folder.root).locked():
        pass
    assert (folder.root / "lock").exists()


def test_an_error_of_a_search_that_has_begun_removes_nothing(folder):
    with pytest.raises(RunFolderError), folder.locked():
        folder.claim(STUDY)
        raise RunFolderError("too many failures")
    assert folder.study_file.exists()
    assert (folder.root / "lock").exists()


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_folder_without_a_study_is_refused(tmp_path, name):
    with pytest.raises(MissingFileError, match=r"is not a run folder: it has no study\.yaml"):
        RunFolder(tmp_path / name).read_study()


def test_one_writer_at_a_time(folder):
    with folder.locked():
        with pytest.raises(RunFolderError, match=r"another search is writing to .*; wait for it, or watch it with"):
            with RunFolder(folder.root).locked():
                pass
    with folder.locked():
        folder.claim(STUDY)


def test_a_check_of_the_lock_creates_nothing(folder):
    folder.check_unlocked()
    assert not folder.root.exists()
    with folder.locked(), pytest.raises(RunFolderError, match="another search is writing to"):
        RunFolder(folder.root).check_unlocked()
    folder.check_unlocked()


def test_the_lock_goes_with_its_process(folder):
    code = (
        "import os, pathlib\n"
        "from nasfuse.experiment.run_folder import RunFolder\n"
        f"with RunFolder(pathlib.Path({str(folder.root)!r})).locked():\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == -9
    with folder.locked():
        pass


def test_scratch(folder):
    write_text(folder.root / ".tune" / "a" / "b", "")
    drop_scratch(folder.root)
    drop_scratch(folder.root)
    assert not (folder.root / ".tune").exists()


def test_several_drivers_write_to_a_folder_and_leave_nothing_of_their_own(folder):
    with folder.locked(driver="a") as first, folder.locked(driver="b") as second:
        assert first != second
        write_text(first / ".tune" / "x", "")
        folder.claim(STUDY)
        assert folder.is_locked()
    assert not folder.is_locked()
    assert not (first.exists() or second.exists())


def test_the_folder_of_a_killed_driver_is_removed_and_those_of_others_are_not(folder):
    for token in ("killed", "elsewhere"):
        write_text(folder.of_driver(token) / "lock", "")
    with folder.locked(driver="own"):
        folder.drop_dead_drivers(live={"elsewhere"})
        assert [folder.of_driver(one).exists() for one in ("killed", "elsewhere", "own")] == [False, True, True]


def test_the_storage(folder):
    assert folder.storage_url(STUDY) == f"sqlite:///{folder.root / 'study.db'}"
    assert folder.storage_url(study(storage="mysql://x")) == "mysql://x"


def test_a_recipe_that_is_not_there(folder):
    with pytest.raises(MissingFileError, match="no such file"):
        folder.recipe(3)


class TestWriteText:
    def test_a_new_file_and_an_existing_file(self, tmp_path):
        write_text(tmp_path / "a" / "b.txt", "one")
        write_text(tmp_path / "a" / "b.txt", "zwei ü")
        assert files(tmp_path) == {"a/b.txt": "zwei ü".encode()}

    def test_nothing_is_left_behind_where_it_fails(self, tmp_path):
        (tmp_path / "a").mkdir()
        with pytest.raises(InvalidInputError, match="a is a folder; give the name of a file"):
            write_text(tmp_path / "a", "one")
        with pytest.raises(UnicodeEncodeError, match="surrogates"):
            write_text(tmp_path / "b", "\udcff")
        assert files(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(RunFolderError, match=rf"^{tmp_path} cannot be written; choose another folder with -o$"):
        RunFolder(tmp_path / "runs" / "x").check_writable()
    assert not any(tmp_path.iterdir())
