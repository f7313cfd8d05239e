"""The display of a running search."""

import io
from types import SimpleNamespace

import pytest

from nasfuse.backends.outcome import Stopped
from nasfuse.cli.console import new_console
from nasfuse.cli.live import LiveDisplay
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run


@pytest.fixture
def shown(make_run, tmp_path):
    """Shows a run in which a training was stopped; returns what is printed."""

    def show(*, is_terminal):
        root = make_run(tmp_path / "run", [(0.5, 100), (0.4, 200), (0.9, 1000), 0.2]).root
        run = read_run(RunFolder(root))
        console = new_console(file=io.StringIO(), force_terminal=is_terminal, width=200)
        display = LiveDisplay(console, run.study)
        dataset = SimpleNamespace(
            modalities=[], task=SimpleNamespace(kind="multiclass", n_outputs=10), train=[], val=[], test=[]
        )
        display.ready(dataset, workers=2, progress=run.progress, seconds=1.0)
        display.ended(3, Stopped(epoch=1, metric=0.2), progress=run.progress, seconds=2.0)
        console.print(display._render() if is_terminal else "")
        return console.file.getvalue()

    return show


def test_a_line_says_what_was_stopped_and_saved(shown):
    out = shown(is_terminal=False)
    assert "3 complete, 1 stopped" in out
    assert "4 epochs saved" in out


def test_a_terminal_says_why(shown):
    out = shown(is_terminal=True)
    assert "trial 3 stopped after epoch 1, it was dominated" in out
    assert "7 spent, 4 saved" in out
