"""The screen of a search."""

import io

import pytest

from nasfuse.cli.console import new_console
from nasfuse.cli.search_screen import Running, left_of_budget, search_screen, sparkline
from nasfuse.experiment.run_reader import read_run
from nasfuse.spec.study import BudgetConfig


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return read_run(make_run(tmp_path_factory.mktemp("run") / "run", [(0.5, 100), (0.4, 200), (0.9, 1000), 0.2]))


def shown(run, width, **more):
    console = new_console(file=io.StringIO(), width=width)
    running = [Running(12, "network of many words " * 9, "fold 2/5, epoch 3/20", [0.1, 0.25, 0.98765])]
    defaults = {"seconds": 75.0, "running": running, "message": "trial 3 failed", "has_blocks": True}
    console.print(search_screen(run.study, run.progress, **{**defaults, **more}))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_cut(run, width):
    lines = shown(run, width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    text = " ".join(" ".join(lines).split())
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert text.count("network of many words") >= 8
    for part in (
        "0.9000 at 1 kMACs",
        "67%, 2 trials, about 0:38 left",
        "#12 fold 2/5, epoch 3/20 \u2581\u2582\u2588 accuracy 0.9877",
    ):
        assert part in text
    assert "3 complete, 1 running, 1 stopped" in text


def test_curves_need_a_terminal_that_can_show_them(run):
    assert "\u2588" not in shown(run, 80, has_blocks=False)


def test_a_curve_in_one_line():
    assert sparkline([0, 7, 3]) == "\u2581\u2588\u2584"
    assert sparkline([2.0, 2.0]) == "\u2581\u2581"
    assert sparkline([]) == sparkline([float("nan")]) == ""
    assert len(sparkline(range(100))) == 20
    assert sparkline(range(100)).endswith("\u2588")


def test_what_is_left(run):
    def left(budget, **more):
        study = run.study.model_copy(update={"budget": BudgetConfig.parse(budget)})
        return left_of_budget(study, **more)

    assert left({"trials": 6}, done=0, seconds=5) == "6 trials"
    assert left({"trials": 6}, done=2, seconds=60) == "4 trials, about 2:00"
    assert left({"minutes": 90}, done=2, seconds=60) == "1:29:00"
    assert left({"trials": 3, "minutes": 1}, done=2, seconds=90) == "1 trial, 0:00"
