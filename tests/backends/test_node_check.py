"""What a node lacks is said in a phrase."""

import platform
from dataclasses import replace

import pytest
import torch

import nasfuse
from nasfuse.backends.node_check import Requirements, problem_here


@pytest.fixture
def asked(tmp_path):
    (probe := tmp_path / "run" / ".tune" / "probe").parent.mkdir(parents=True)
    probe.write_text("x")
    versions = {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": torch.__version__.split("+")[0],
        "nasfuse": nasfuse.__version__,
    }
    return Requirements(versions, probe, "x", needs_cuda=False)


def test_a_machine_with_everything_lacks_nothing_and_keeps_no_file(asked):
    assert problem_here(asked) is None
    assert list(asked.probe.parent.iterdir()) == [asked.probe]


@pytest.mark.parametrize("package", ["Python", "torch", "nasfuse"])
def test_another_version(asked, package):
    other = replace(asked, versions={**asked.versions, package: "1.0"})
    wanted = f"it has {package} {asked.versions[package]}, and this search runs with 1.0; install that there"
    assert problem_here(other) == wanted


@pytest.mark.parametrize("content", [None, "y"], ids=["no file", "a file of another search"])
def test_another_run_folder(asked, content):
    asked.probe.unlink()
    if content is not None:
        asked.probe.write_text(content)
    assert "does not see the run folder" in problem_here(asked)


def test_a_folder_that_cannot_be_written_to(asked, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    assert problem_here(asked) == f"it cannot write to the run folder {asked.probe.parents[1]}: Permission denied"


def test_no_cuda(asked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds no CUDA device there" in problem_here(replace(asked, needs_cuda=True))
