"""Exceptions of nasfuse, with a common base class; each is also a subclass of the matching builtin.

A message states the rule, the value that was given and the correction. `exit_code` is the exit code of the command
line: 2 if the user can correct the input, 1 if the run failed.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class NasfuseError(Exception):
    """Base class of all errors that nasfuse raises deliberately."""

    exit_code = 2


class InvalidInputError(NasfuseError, ValueError):
    """An argument violates the documented requirements of a function."""


class MissingFileError(NasfuseError, FileNotFoundError):
    """A file or folder from the user does not exist."""


class MissingPackageError(NasfuseError, ImportError):
    """A package that only some data need is not installed."""


class DataError(NasfuseError, ValueError):
    """A data set violates the data format (`docs/data.md`)."""


class DataWarning(UserWarning):
    """A data set was interpreted in a way that the user should check (`docs/data.md`)."""


class MissingValuesWarning(DataWarning):
    """Values of a modality are missing.

    Attributes:
        modality: Name of the modality.
    """

    def __init__(self, message: str, *, modality: str) -> None:
        """Stores the name of the modality."""
        super().__init__(message)
        self.modality = modality


class UndividedClassesWarning(DataWarning):
    """All samples of some classes stay in train, because they are too few or in one group."""


class RunFolderError(NasfuseError, ValueError):
    """A run folder does not contain what the command needs."""


class RunFolderWarning(UserWarning):
    """A file of a run folder is damaged, and what it would add to a result is left out."""


class UncountedOperatorError(NasfuseError, RuntimeError):
    """An operator has no MACs formula, so that a count would be too low."""

    exit_code = 1


class TracingError(NasfuseError, RuntimeError):
    """A network cannot be traced or exported, because its computation depends on the values of its inputs."""


class DeploymentError(NasfuseError, RuntimeError):
    """A network was not deployed, because the result would not be the network."""

    exit_code = 1


class NonFiniteError(NasfuseError, ArithmeticError):
    """A loss or metric is NaN or infinite, so that the trial has no result."""

    exit_code = 1


class NoResultError(NasfuseError, RuntimeError):
    """A search ended without a finished training."""

    exit_code = 1


class RecurringFailureError(NasfuseError, RuntimeError):
    """Consecutive trainings failed in the same way, so that the cause is not a single network.

    Attributes:
        trial: Number of the last failed trial.
    """

    exit_code = 1

    def __init__(self, message: str, *, trial: int) -> None:
        """Stores the number of the last failed trial."""
        super().__init__(message)
        self.trial = trial


class CheckpointError(NasfuseError, ValueError):
    """A checkpoint file is damaged or belongs to another recipe."""


class InheritanceError(NasfuseError, ValueError):
    """The weights that a training was to start from are not there, damaged or of another network."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """A problem in a configuration file.

    Attributes:
        where: Dotted path of the key; empty for the whole file.
        what: Message with the rule, the given value and the correction.
        line: Line in the file, counted from 1; None if there is no file.
    """

    where: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        """Returns the problem as one line of text."""
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.where}: {self.what}" if self.where else f"{place}{self.what}"


class ConfigError(NasfuseError, ValueError):
    """A recipe, space or study is invalid; contains all its problems."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        """Stores the `problems` of `source`, a file name or a description."""
        self.source = source
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source} has {counted(len(self.problems), 'problem')}:\n{lines}")


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun, in the plural unless it is 1.

    >>> counted(1, "row"), counted(2000, "row"), counted(0, "class"), counted(2, "category")
    ('1 row', '2000 rows', '0 classes', '2 categories')
    """
    if count == 1:
        return f"{count} {noun}"
    if noun.endswith("ry"):
        return f"{count} {noun[:-1]}ies"
    return f"{count} {noun}{'es' if noun.endswith('ss') else 's'}"


def listed(names: Iterable[str]) -> str:
    """Returns names in one line, with quotes around those that would be taken for several, or for none.

    >>> listed(["price", "size, cm"]), listed(["a", " "])
    ("price, 'size, cm'", "a, ' '")
    """
    return ", ".join(repr(name) if "," in name or name != name.strip() or not name else name for name in names)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns a hint for an unknown name: the most similar known name, and all known names.

    >>> nearest("concatt", ["concat", "sum"])
    "did you mean 'concat'? Known: concat, sum"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {listed(names) if names else 'none'}"
