"""A search whose Ray has died ends in a sentence, and records nothing more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: A driver whose trials die with the server; with "signalled" a signal has reached both, and it ends in order.
DRIVER = """
import subprocess, sys, time
from nasfuse.backends import session_watch
from nasfuse.backends.session_watch import hold_if_lost, watching

session_watch.is_ending = lambda: "signalled" in sys.argv
session_watch._INTERVAL_S = session_watch._GRACE_S = 0.1
server = subprocess.Popen(["sleep", "600"])
with watching({"Ray's raylet": server}):
    hold_if_lost()
    print("a trial has died alone", flush=True)
    server.kill()
    server.wait()
    hold_if_lost()
    print("a trial has died with the server", flush=True)
    time.sleep(1)
"""


@pytest.mark.parametrize("is_signalled", [False, True], ids=["a server has died", "all were told to end"])
def test_a_death_of_the_server(is_signalled):
    command = [sys.executable, "-c", DRIVER, *["signalled"] * is_signalled]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    both = ["a trial has died alone", "a trial has died with the server"]
    if is_signalled:
        assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, both, "")
    else:
        assert (done.returncode, done.stdout.splitlines()) == (1, both[:1])
        sentence = (
            "Error: Ray's raylet on this machine has died, and the search ends with it; run the same command again"
        )
        assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
