"""Signals that ask for an end: what they raise, what they leave, and that a second one is not waited for."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nasfuse.backends.interrupts import Interrupted, interruptible, is_ending

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_and_names_the_exit_code(number):
    before = [signal.getsignal(one) for one in SIGNALS]
    with pytest.raises(Interrupted, match=signal.Signals(number).name) as caught, interruptible():
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_it_is_raised_again_where_it_was_swallowed():
    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            pass


def test_the_blocks_around_the_one_that_a_signal_left_know_of_it():
    """They put their work away, and must not wait for a storage that does not answer."""
    with pytest.raises(Interrupted, match="SIGINT"), interruptible():
        assert not is_ending()
        try:
            with interruptible():
                os.kill(os.getpid(), signal.SIGINT)
        finally:
            assert is_ending()
    assert not is_ending()
    with interruptible():
        assert not is_ending()


def test_an_exception_without_the_signal_gets_its_number_back():
    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None


def test_a_nested_block_takes_the_handlers_back():
    """As after `ray.init`, which sets its own."""
    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the other handler was called"))
        with interruptible():
            os.kill(os.getpid(), signal.SIGTERM)


def test_an_ignored_signal_stays_ignored():
    """A search under nohup outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_changes_in_another_thread():
    found = []

    def look():
        with interruptible():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_the_second_signal_ends_the_process_at_once():
    """In an enclosing block, too, while the inner one has begun to put things away."""
    code = (
        "import os, signal, time\n"
        "from nasfuse.backends.interrupts import interruptible\n"
        "with interruptible():\n"
        "    try:\n"
        "        with interruptible():\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30, capture_output=True)
    assert done.returncode == -signal.SIGINT
