"""The errors nasfuse raises: one tree, each also the natural builtin.

A message says the rule, what was got and what to do. `exit_code` is what the command line returns:
2 where the user can correct the input, 1 where something failed while running.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class NasfuseError(Exception):
    """Root of every error that nasfuse raises on purpose."""

    exit_code = 2


class InvalidInputError(NasfuseError, ValueError):
    """An argument breaks the documented rule of the function it was given to."""


class MissingFileError(NasfuseError, FileNotFoundError):
    """A file or folder the user named is not there."""


class DataError(NasfuseError, ValueError):
    """A data set breaks the data contract (`docs/data.md`)."""


class DataWarning(UserWarning):
    """A data set was read in a way that its owner should know of (`docs/data.md`)."""


class RunFolderError(NasfuseError, ValueError):
    """A run folder holds something else than what the command needs."""


class UncountedOperatorError(NasfuseError, RuntimeError):
    """An operator that does tensor work has no MACs formula, so a count would be too low."""

    exit_code = 1


class NonFiniteError(NasfuseError, ArithmeticError):
    """A loss or metric became NaN or infinite, so the trial has no result."""

    exit_code = 1


class NoResultError(NasfuseError, RuntimeError):
    """A search ended without one finished training."""

    exit_code = 1


class CheckpointError(NasfuseError, ValueError):
    """A checkpoint file is damaged or belongs to another recipe."""


class DonorError(NasfuseError, ValueError):
    """The weights that a training was to start from are not there, damaged or of another network."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration file.

    Attributes:
        where: Dotted key path, empty for the file as a whole.
        what: The rule, what was got and what to do, as one sentence.
        line: One-based line in the file, or None where there is no file.
    """

    where: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        """One line for a terminal."""
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.where}: {self.what}" if self.where else f"{place}{self.what}"


class ConfigError(NasfuseError, ValueError):
    """A recipe, space or study is not valid; carries all its problems at once."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        """Collects `problems` found in `source` (a file name or a description)."""
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source} has {count} problem{'s' if count != 1 else ''}:\n{lines}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the part of a message that helps with an unknown name.

    >>> nearest("concatt", ["concat", "sum"])
    "did you mean 'concat'? Known: concat, sum"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names) if names else 'none'}"
