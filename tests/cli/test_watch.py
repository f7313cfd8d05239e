"""A search of another process on the screen."""

import io
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from nasfuse.cli.console import new_console
from nasfuse.cli.watch import watch
from nasfuse.experiment.run_reader import read_run


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    """A run whose last trial trains, in its second epoch."""
    folder = make_run(tmp_path_factory.mktemp("run") / "run", [(0.5, 100), (0.9, 1000), 0.2, None])
    (folder.trial(3) / "metrics.jsonl").write_text('{"val_metric": 0.25}\n')
    return read_run(folder)


def watched(run, *, is_terminal, looks=2):
    """Returns what is shown of a search that ends after some looks, and the run that is returned."""
    console = new_console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    states = [replace(run, searching=number < looks) for number in range(looks + 1)]
    pauses = []
    found = watch(lambda: states.pop(0), console, sleep=pauses.append)
    assert not found.searching
    assert (states, len(pauses)) == ([], looks)
    return console.file.getvalue()


def test_a_terminal_has_a_screen_that_is_gone_at_the_end(run):
    out = watched(run, is_terminal=True)
    assert "#3" in out
    assert "epoch 2/2" in out
    assert "accuracy 0.2500" in out
    assert "trial 2 stopped after 1 epoch, it was dominated" in out
    assert "\x1b[?25l" in out, "the cursor is hidden"
    assert out.rstrip("\n").rindex("\x1b[?25h") > out.rindex("epoch 2/2"), "and shown again"


def test_elsewhere_there_are_plain_lines(run):
    lines = watched(run, is_terminal=False).splitlines()
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)
    assert "2 complete, 1 running, 1 stopped, best accuracy 0.9000" in lines[0]


def test_without_a_search_nothing_is_shown(run):
    assert watched(run, is_terminal=True, looks=0) == ""


def test_an_interruption_leaves_the_terminal_clean(run):
    console = new_console(file=io.StringIO(), force_terminal=True, width=100)

    def interrupted(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(lambda: replace(run, searching=True), console, sleep=interrupted)
    assert "\x1b[?25h" in console.file.getvalue().split("epoch 2/2")[-1]


def test_the_time_of_a_search_goes_on_while_it_runs(run):
    folder = run.folder
    assert read_run(folder).seconds == pytest.approx(run.seconds)
    with folder.locked():
        before, now = read_run(folder), datetime.now()
    since = now - max(one.frozen.datetime_complete or datetime.min for one in run.trials)
    assert before.seconds == pytest.approx(run.seconds + since / timedelta(seconds=1), abs=2)


def test_the_verb(nasfuse, run):
    ran = nasfuse("status", run.folder.root, "--watch")
    assert (ran.code, ran.err) == (0, "")
    assert "best  0.9000 at 1,000 MACs" in ran.out
    assert nasfuse("status", run.folder.root, "--watch", "--json").json["searching"] is False
