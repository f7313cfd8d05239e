"""Reading a run, while it is written or long after; what is damaged is said in one sentence."""

import pytest

from nasfuse.errors import MissingFileError, RunFolderError
from nasfuse.experiment.reading import read_run
from nasfuse.experiment.run_folder import RunFolder

RESULTS = [(0.5, 100), (0.6, 200), "it broke", (0.9, 1000), None]


@pytest.fixture
def folder(make_run, tmp_path):
    return make_run(tmp_path / "run", RESULTS)


def test_what_a_run_holds(folder):
    run = read_run(folder)
    assert run.study == folder.read_study()
    assert [(c.trial, c.measured.metric) for c in run.candidates] == [(0, 0.5), (1, 0.6), (3, 0.9)]
    assert run.objectives.reference == (0.1, 1e6)
    assert run.progress.states["running"] == 1
    assert run.progress.reasons == {2: "it broke"}
    assert folder.recipe(3).network.route


def test_reading_changes_nothing(folder):
    def content():
        files = [path for path in folder.root.rglob("*") if path.is_file() and not path.name.startswith("study.db-")]
        return {path: path.read_bytes() for path in files if path.name != "study.db"}

    read_run(folder)
    before = content()
    read_run(folder)
    assert content() == before


def test_no_folder(tmp_path):
    with pytest.raises(MissingFileError, match="is not a run folder"):
        read_run(RunFolder(tmp_path / "absent"))


def test_a_search_that_has_not_started(folder):
    for file in folder.root.glob("study.db*"):
        file.unlink()
    with pytest.raises(RunFolderError, match=r"has no study\.db yet; the search has not started"):
        read_run(folder)


def test_a_damaged_storage(folder):
    (folder.root / "study.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(RunFolderError, match=r"cannot open the study's storage .* check the file"):
        read_run(folder)


def test_a_storage_of_another_study(folder):
    text = folder.study_file.read_text()
    folder.study_file.write_text(text.replace("name: small", "name: other"))
    with pytest.raises(RunFolderError, match="holds no study 'other'"):
        read_run(folder)


def test_a_storage_elsewhere(make_run, tmp_path):
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    folder = make_run(tmp_path / "run", RESULTS, storage=url)
    assert not (folder.root / "study.db").exists()
    assert len(read_run(folder).candidates) == 3
