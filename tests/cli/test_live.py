"""The display of a running search."""

import io
from types import SimpleNamespace

import pytest

from nasfuse.backends.outcome import Stopped
from nasfuse.cli.console import new_console
from nasfuse.cli.live import SILENCE_S, LiveDisplay
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.assignment import Assignment
from nasfuse.spec.study import BudgetConfig

DATA = SimpleNamespace(modalities=[], task=SimpleNamespace(kind="multiclass", n_outputs=10), train=[], val=[], test=[])


class Shown:
    """The display of a run in which a training was stopped, on a clock that is set by hand."""

    def __init__(self, make_run, folder, *, is_terminal=False, budget=None):
        self.run = read_run(RunFolder(make_run(folder, [(0.5, 100), (0.4, 200), (0.9, 1000), 0.2]).root))
        self.now = 0.0
        self.console = new_console(file=io.StringIO(), force_terminal=is_terminal, width=200)
        study = self.run.study.model_copy(update={"budget": BudgetConfig.parse(budget or {"trials": 6})})
        self.display = LiveDisplay(self.console, study, self.run.folder, clock=lambda: self.now)

    def ready(self, seconds=1.0):
        self.display.ready(DATA, workers=2, progress=self.run.progress, seconds=seconds)

    def starts(self, number):
        self.display.started(Assignment(number, 0, self.run.folder.recipe(0)))

    def ends(self, number, *, seconds):
        self.display.ended(number, Stopped(epoch=1, metric=0.2), progress=self.run.progress, seconds=seconds)

    def lines(self):
        """What was printed since the last call."""
        text = self.console.file.getvalue()
        self.console.file.seek(0)
        self.console.file.truncate()
        return text.splitlines()


@pytest.fixture
def shown(make_run, tmp_path):
    return lambda **options: Shown(make_run, tmp_path / "run", **options)


def test_a_line_says_what_was_stopped_and_saved(shown):
    search = shown()
    search.ready()
    search.now = 20.0
    search.ends(3, seconds=2.0)
    assert search.lines()[-1].startswith("    2 s: 3 complete, 1 stopped, best")
    assert search.lines() == []
    assert search.display._line().endswith("4 epochs saved")


def test_a_terminal_says_why(shown):
    search = shown(is_terminal=True)
    search.ready()
    search.ends(3, seconds=2.0)
    search.console.print(search.display._render())
    out = "\n".join(search.lines())
    assert "trial 3 stopped after epoch 1, it was dominated" in out
    assert "7 spent, 4 saved" in out


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_done_around_the_trainings_is_shown(shown, is_terminal):
    search = shown(is_terminal=is_terminal)
    for text in ("reading the data", "starting workers"):
        search.display.phase(text)
        if is_terminal:
            search.console.print(search.display._render())
        assert search.lines() == [f"{text} ..."]
    search.ready()
    search.lines()
    search.display.phase("measuring the points of the front")
    if is_terminal:
        search.console.print(search.display._render())
    assert "measuring the points of the front ..." in search.lines()[-1]


def test_a_line_a_minute_says_what_is_trained(shown):
    search = shown(budget={"minutes": 10})
    search.display.phase("starting workers")
    search.lines()
    search.now = SILENCE_S + 1
    search.display.sign_of_life()
    assert search.lines() == ["still starting workers"]
    search.ready(seconds=100.0)
    search.now += 500  # the clock of the search begins with its first trial
    search.lines()
    search.starts(4)
    search.starts(5)
    (search.run.folder.trial(4)).mkdir()
    (search.run.folder.trial(4) / "metrics.jsonl").write_text("{}\n")
    search.now += SILENCE_S - 1
    search.display._print("a line")
    search.now += SILENCE_S - 1
    search.display.sign_of_life()
    assert search.lines() == ["a line"], "not before a minute of silence"
    search.now += 2
    for _ in range(2):
        search.display.sign_of_life()
    assert search.lines() == ["  220 s: training trial 4 (epoch 2/2), trial 5 (epoch 1/2); 6:20 left"]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_time_is_spent(shown, is_terminal):
    search = shown(budget={"minutes": 2}, is_terminal=is_terminal)
    search.ready(seconds=0.0)
    search.starts(4)
    search.starts(5)
    search.now += 30
    search.display.sign_of_life()
    search.lines()
    search.now += 100
    line = "the time is spent; waiting for 2 running trainings"
    if is_terminal:
        search.console.print(search.display._render())
        assert any(line in shown for shown in search.lines())
        return
    for _ in range(3):
        search.display.sign_of_life()
    assert search.lines() == [line]
    search.now += SILENCE_S + 1
    search.display.sign_of_life()
    assert search.lines() == ["  191 s: training trial 4 (epoch 1/2), trial 5 (epoch 1/2); the time is spent"]
    search.ends(4, seconds=130.0)
    search.ends(5, seconds=131.0)
    search.now += 30
    search.lines()
    search.display.sign_of_life()
    assert search.lines() == [], "nothing runs any more"


def test_lines_come_from_a_thread_that_ends(shown, monkeypatch):
    monkeypatch.setattr("nasfuse.cli.live._LOOK_EVERY_S", 0.01)
    search = shown()
    search.display.phase("starting workers")
    search.lines()
    search.now = SILENCE_S + 1
    with search.display:
        search.display._watch.join(timeout=0.3)
        assert search.display._watch.is_alive()
    assert not search.display._watch.is_alive()
    assert search.lines() == ["still starting workers"]
