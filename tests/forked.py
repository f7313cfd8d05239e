"""Processes of their own for tests: forked from one that has imported nasfuse, as an import takes seconds."""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from nasfuse.cli import main

ROOT = Path(__file__).parents[1]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "nasfuse.experiment.run",
        "nasfuse.backends.ray",
        "nasfuse.cli.app",
        *("pandas", "sklearn.datasets", "sklearn.linear_model", "sklearn.model_selection"),  # imported late
        __name__,
    ]
)


class Forked:
    """A process, with what tests use of `subprocess.Popen`.

    Attributes:
        pid: Its number.
        stdout: What it prints, as it prints it.
        stderr: What it has written to the standard error.
    """

    def __init__(self, process: Any, stdout: TextIO, stderr: TextIO) -> None:
        self._process, self.pid, self.stdout, self.stderr = process, process.pid, stdout, stderr

    @property
    def returncode(self) -> int | None:
        """Exit code, the negative number of the signal that ended the process, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Returns `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns `returncode` once the process has ended."""
        self._process.join(timeout)
        assert self.returncode is not None, f"the process has not ended after {timeout} s"
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Returns the unread parts of both outputs once the process has ended."""
        printed = self.stdout.read()
        self.wait(timeout)
        return printed, self.stderr.read()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL to the process if it runs."""
        self._process.kill()


@contextlib.contextmanager
def forked(
    run: Callable[..., Any],
    *arguments: Any,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    joined: bool = False,
) -> Iterator[Forked]:
    """Yields a process that calls `run`, and kills it at the end of the context.

    Args:
        run: Function of a module that the process can import.
        arguments: Its arguments, which are pickled.
        cwd: Working folder of the process.
        environment: Environment variables besides those of this process. What modules read when they are imported, they
            have read before.
        joined: Whether the standard error is written to `stdout`, too.
    """
    reader, writer = _CONTEXT.Pipe(duplex=False)
    variables = {**os.environ, **(environment or {})}
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as errors:
        settings = (writer, None if joined else errors.name, str(cwd), variables)
        process = _CONTEXT.Process(target=_call, args=(run, arguments, *settings), daemon=True)
        process.start()
        writer.close()
        with open(os.dup(reader.fileno()), encoding="utf-8", errors="replace") as printed:
            try:
                yield Forked(process, printed, errors.file)
            finally:
                process.kill()
                process.join()
                reader.close()


def _call(
    run: Callable[..., Any],
    arguments: tuple[Any, ...],
    writer: Connection,
    errors: str | None,
    cwd: str,
    variables: dict[str, str],
) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(writer.fileno(), 1)
    os.dup2(1 if errors is None else os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    writer.close()
    os.chdir(cwd)
    os.environ.update(variables)  # those that nasfuse sets for Ray when it is imported are kept
    tempfile.tempdir = None  # it was chosen by the old variables
    try:
        run(*arguments)
    finally:
        atexit._run_exitfuncs()


def installed_command(*arguments: str) -> None:
    """Runs the command `nasfuse ...`, given as its words, in this process."""
    sys.argv = list(arguments)
    main()


def command_line(*arguments: object) -> None:
    """Runs `python cli.py ...` in this process."""
    sys.argv = [str(ROOT / "cli.py"), *map(str, arguments)]
    runpy.run_path(sys.argv[0], run_name="__main__")
