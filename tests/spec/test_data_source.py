"""Where data are looked up, from the file that names them."""

import shutil

import pytest

from nasfuse.errors import DataWarning
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import locate
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

RECIPE = """data: {source: SOURCE, modalities: {a: vector}}
network: {route: [a], streams: {a: {encoder: mlp}}}
"""
STUDY = """name: x
data: {source: SOURCE, modalities: {a: vector}}
space: {fields: {training.lr: {choices: [0.1]}}}
budget: {trials: 1}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder `project` with data in it and a working folder beside it."""
    for place in ("project/data", "project/studies", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "project" / "data" / "t.npz").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project"


def test_a_path_from_the_working_folder_becomes_absolute(project, monkeypatch):
    monkeypatch.chdir(project)
    assert locate("data/t.npz", named_in=project / "studies" / "s.yaml") == str(project / "data" / "t.npz")


def test_a_path_beside_the_file_becomes_absolute(project):
    assert locate("../data/t.npz", named_in=project / "studies" / "s.yaml") == str(project / "data" / "t.npz")


def test_the_working_folder_comes_first(project, monkeypatch):
    (project / "studies" / "t.npz").write_bytes(b"")
    monkeypatch.chdir(project / "data")
    assert locate("t.npz", named_in=project / "studies" / "s.yaml") == str(project / "data" / "t.npz")


@pytest.mark.parametrize("source", ["digits", "absent.npz", "../t.npz", "x" * 5000, "\0"])
def test_a_source_that_is_not_found_keeps_its_name(project, source):
    """Such as what is in the data folder; loading says where it was looked for."""
    assert locate(source, named_in=project / "studies" / "s.yaml") == source


def test_folders_and_functions_of_files_become_absolute(project):
    (project / "data" / "mine.py").write_text("")
    study = project / "studies" / "s.yaml"
    assert locate("../data", named_in=study) == str(project / "data")
    assert locate("../data/mine.py:load", named_in=study) == f"{project / 'data' / 'mine.py'}:load"
    assert locate("package.module:load", named_in=study) == "package.module:load"


def test_a_shipped_set_is_no_file(project, monkeypatch):
    monkeypatch.chdir(project)
    (project / "digits").write_bytes(b"")
    assert locate("digits", named_in=project / "s.yaml") == "digits"


class TestAProjectThatWasMoved:
    def test_its_data_are_found(self, project, tmp_path):
        before = locate(str(project / "data" / "t.npz"), named_in=project / "runs" / "x" / "study.yaml")
        assert before == str(project / "data" / "t.npz")
        moved = project.rename(tmp_path / "moved")
        for file in ("runs/x/study.yaml", "runs/x/trials/0/model.pt", "s.yaml"):
            assert locate(before, named_in=moved / file) == str(moved / "data" / "t.npz")

    def test_a_path_relative_to_the_working_folder_will_do(self, project, tmp_path, monkeypatch):
        before = str(project / "data" / "t.npz")
        project.rename(tmp_path / "moved")
        monkeypatch.chdir(tmp_path)
        assert locate(before, named_in=tmp_path.relative_to(tmp_path) / "moved" / "s.yaml") == str(
            tmp_path / "moved" / "data" / "t.npz"
        )

    def test_the_longest_matching_end_of_a_path_is_chosen(self, project, tmp_path):
        before = str(project / "data" / "t.npz")
        moved = project.rename(tmp_path / "moved")
        (moved / "studies" / "t.npz").write_bytes(b"other data of this name, nearer")
        assert locate(before, named_in=moved / "studies" / "s.yaml") == str(moved / "data" / "t.npz")

    def test_an_existing_path_is_not_searched_for(self, project, tmp_path):
        before = str(project / "data" / "t.npz")
        copy = shutil.copytree(project, tmp_path / "copy")
        assert locate(before, named_in=copy / "s.yaml") == before

    def test_another_name_is_another_file(self, project):
        assert locate("/absent/u.npz", named_in=project / "data" / "s.yaml") == "/absent/u.npz"


@pytest.mark.parametrize("source", ["../data/t.npz", "ABSOLUTE"])
def test_files_that_name_data(project, tmp_path, source):
    """Recipes, studies and the studies of run folders: alike, before and after a move."""
    source = str(project / "data" / "t.npz") if source == "ABSOLUTE" else source
    (project / "studies" / "r.yaml").write_text(RECIPE.replace("SOURCE", source))
    (project / "studies" / "s.yaml").write_text(STUDY.replace("SOURCE", source))
    RunFolder(project / "run").claim(StudyConfig.load(project / "studies" / "s.yaml"))
    for place in (project, tmp_path / "moved"):
        if place != project:
            project.rename(place)
        expected = str(place / "data" / "t.npz")
        assert Recipe.load(place / "studies" / "r.yaml").data.source == expected
        assert StudyConfig.load(place / "studies" / "s.yaml").data.source == expected
        assert RunFolder(place / "run").read_study().data.source == expected


def test_the_same_description_of_another_file(project, monkeypatch):
    config = DataConfig.parse({"source": "x.npz", "modalities": {"a": {"kind": "vector"}}})
    monkeypatch.chdir(project)
    assert config.at("data/t.npz").source == str(project / "data" / "t.npz")
    assert config.at("in_the_data_folder.npz").source == "in_the_data_folder.npz"
    assert config.at("y.npz").identity == config.identity


def test_a_moved_path_is_reported(project):
    """A file of the same name elsewhere may hold other data."""
    old = str(project.parent / "gone" / "data" / "t.npz")
    with pytest.warns(DataWarning, match=r"gone/data/t\.npz does not exist; .*project/data/t\.npz is used instead"):
        assert locate(old, named_in=project / "studies" / "s.yaml") == str(project / "data" / "t.npz")
