"""Messages of the library in the words of Python: arguments instead of the options of the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nasfuse.errors import NasfuseError

#: A command, which stays as it is, or an option.
_COMMAND_OR_OPTION = re.compile(r"`[^`]*`|(?<![\w/.-])(?:--(?P<long>[a-z][a-z-]*)|-o)(?![\w-])")


def in_python(message: str) -> str:
    """Returns a message of the library with the arguments of the Python API for options.

    Messages name options as the command line does; commands between backticks are left as they are.

    >>> in_python("raise --max-macs, choose another -o or call `nasfuse train --init FILE`")
    'raise max_macs, choose another output or call `nasfuse train --init FILE`'
    """

    def argument(found: re.Match[str]) -> str:
        if found[0].startswith("`"):
            return found[0]
        return found["long"].replace("-", "_") if found["long"] else "output"

    return _COMMAND_OR_OPTION.sub(argument, message)


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Lets the errors of nasfuse that are raised inside the block name arguments."""
    try:
        yield
    except NasfuseError as error:
        error.args = tuple(in_python(part) if isinstance(part, str) else part for part in error.args)
        raise
