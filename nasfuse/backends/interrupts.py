"""Orderly ends: SIGINT, SIGTERM and SIGHUP stop the work with an exception, so that it can be put away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

#: Ctrl-C; what schedulers, containers and `kill` send; what a closed terminal sends.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end.

    Attributes:
        exit_code: 128 plus the number of the signal, as shells report it.
    """

    def __init__(self, number: int) -> None:
        """Describes the end by signal `number`."""
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """Handler of the signals that ask for an end; the second one ends the process at once.

    Attributes:
        received: The signal that came first, None while none has come.
    """

    def __init__(self) -> None:
        """Starts without a signal."""
        self.received: int | None = None
        self._is_deferred = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Raises `Interrupted`, unless that is deferred, and leaves further signals to the operating system."""
        global _is_ending
        self.received = number
        _is_ending = True
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        if not self._is_deferred:
            raise Interrupted(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Lets the block end before `Interrupted` is raised, so that what it writes belongs together; not nested.

        Raises:
            Interrupted: At the end of the block, if a signal has come.
        """
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        self.check()

    def check(self) -> None:
        """Raises `Interrupted` again where the code that a signal struck has swallowed it, as a callback of Ray may."""
        if self.received is not None:
            raise Interrupted(self.received)


#: The innermost handler that is in force; None outside `interruptible`.
_current: Interrupts | None = None

#: Whether a signal has come since the outermost block of `interruptible` began.
_is_ending = False


def is_ending() -> bool:
    """Returns whether a signal has asked the program to end.

    That is so while `Interrupted` is still deferred, and while the blocks around the one that it has left put their
    work away.
    """
    return _current is not None and _is_ending


@contextmanager
def deferred() -> Iterator[None]:
    """Lets the block end before `Interrupted` is raised, if there is a handler; some C++ cannot pass exceptions on."""
    with _current.deferred() if _current is not None else nullcontext():
        yield


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Turns the signals that ask for an end into `Interrupted` inside the block.

    Blocks may be nested; code that replaces the handlers, as `ray.init` does, is followed by an inner one. A signal
    that the process was told to ignore (`nohup`) stays ignored, and outside the main thread nothing is changed, as
    only that one receives signals.

    Raises:
        Interrupted: At the end of the block, where it was swallowed inside.
    """
    global _current, _is_ending
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    outer, _current = _current, interrupts
    _is_ending = _is_ending and outer is not None
    before = {one: signal.getsignal(one) for one in _SIGNALS}
    taken = [one for one in _SIGNALS if before[one] is not signal.SIG_IGN]
    for one in taken:
        signal.signal(one, interrupts)
    try:
        yield interrupts
    except KeyboardInterrupt:
        interrupts.check()  # code that waits in C++, as Ray's, raises a plain KeyboardInterrupt for every signal
        raise
    finally:
        _current = outer
        for one in taken:
            # An enclosing block must not catch a second signal while it puts its work away.
            if interrupts.received is None or not isinstance(before[one], Interrupts):
                signal.signal(one, before[one])
    interrupts.check()
