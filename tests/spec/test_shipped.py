"""Shipped studies and spaces: each loads, and is found by path and by name."""

from pathlib import Path

import pytest

from nasfuse.errors import MissingFileError
from nasfuse.spec.schema.yaml_file import read_document
from nasfuse.spec.shipped import find_shipped, shipped_files
from nasfuse.spec.space import SpaceConfig
from nasfuse.spec.study import StudyConfig

STUDIES = shipped_files("studies")
SPACES = shipped_files("search_spaces")


def test_some_are_shipped():
    assert "digits" in STUDIES
    assert "fusion" in SPACES


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_loads_and_is_named_like_its_file(name):
    study = StudyConfig.load(STUDIES[name])
    assert study.name == name
    written = StudyConfig.parse(study.to_plain())
    assert written == study
    assert written.hash == study.hash


@pytest.mark.parametrize("name", SPACES)
def test_every_space_loads(name):
    document = read_document(SPACES[name])
    space = SpaceConfig.parse(document.values, document=document)
    assert space.baselines, "the hand-made designs run first"
    assert SpaceConfig.parse(space.to_plain()) == space


@pytest.mark.parametrize("path", ["digits", "digits.yaml", "studies/digits.yaml", "studies/digits"])
def test_a_shipped_study_is_found_anywhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_shipped(Path(path), folder="studies") == STUDIES["digits"]


def test_a_file_of_the_user_takes_precedence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text("")
    assert find_shipped(Path("digits"), folder="studies") == Path("digits")


@pytest.mark.parametrize("path", ["digits.txt", "digits.npz", "elsewhere/digits.yaml", "search_spaces/digits", ".", ""])
def test_an_unknown_name_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match="Give a YAML file or a shipped name"):
        find_shipped(Path(path), folder="studies")


def test_the_nearest_name_is_suggested():
    with pytest.raises(MissingFileError, match=r"no such file: digit\.yaml.*did you mean 'digits'\?"):
        find_shipped(Path("digit.yaml"), folder="studies")
