"""A process in which nothing goes on is ended, whatever it hangs in, and says where it hung."""

import contextlib
import subprocess
import sys

import pytest

from nasfuse.experiment import stall_watch
from nasfuse.experiment.stall_watch import FACTOR, FIRST_S, LEAST_S, StallWatch, watching

HANGS = {
    "asleep": "import time; time.sleep(600)",
    "in C code that keeps the lock of the interpreter": "len(str(7 ** 100_000_000))",
}

PROGRAM = """
import sys
from pathlib import Path
from nasfuse.experiment.stall_watch import watching
sys.set_int_max_str_digits(0)

def hang():
    {hang}

with watching(Path(sys.argv[1]), limit_s=0.5) as watch:
    watch.goes_on()
    hang()
"""


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_a_process_that_hangs_is_ended_and_says_where(hang, tmp_path):
    program = [sys.executable, "-c", PROGRAM.format(hang=hang), str(tmp_path)]
    ended = subprocess.run(program, capture_output=True, timeout=250, check=False)
    assert ended.returncode == 1
    text = (tmp_path / "stall.txt").read_text()
    assert "Timeout" in text and "in hang" in text


@pytest.mark.parametrize("error", [None, KeyError, SystemExit], ids=["its end", "an error", "an early stop"])
def test_a_training_that_is_over_is_watched_no_longer_and_leaves_nothing(tmp_path, monkeypatch, error):
    calls = []
    monkeypatch.setattr(stall_watch.faulthandler, "dump_traceback_later", lambda *_, **__: calls.append("watch"))
    monkeypatch.setattr(stall_watch.faulthandler, "cancel_dump_traceback_later", lambda: calls.append("end"))
    with contextlib.suppress(KeyError, SystemExit), watching(tmp_path / "trial", limit_s=60) as watch:
        watch.goes_on()
        if error is not None:
            raise error
    assert calls == ["watch", "watch", "end"]
    assert list((tmp_path / "trial").iterdir()) == []


def test_the_limit_follows_the_longest_epoch(monkeypatch):
    """Epochs of 100, 2 and 50 s; before the first, nothing is known."""
    limits = []
    monkeypatch.setattr(StallWatch, "_arm", lambda self, seconds: limits.append(seconds))
    times = iter([0.0, 100.0, 102.0, 152.0])
    monkeypatch.setattr(stall_watch.time, "monotonic", lambda: next(times))
    watch = StallWatch(0, None)
    for _ in range(3):
        watch.goes_on()
    assert limits == [FIRST_S, FACTOR * 100, FACTOR * 100, FACTOR * 100]
    assert FACTOR * 10 < LEAST_S, "short epochs have the least limit"
