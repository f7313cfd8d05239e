"""Packages that only some data need, which are installed as extras."""

from importlib import import_module
from typing import Any

from nasfuse.errors import MissingPackageError


def required(package: str, *, extra: str, purpose: str) -> Any:
    """Returns the module `package`.

    Args:
        package: Name of the package.
        extra: Extra of nasfuse that installs it.
        purpose: What it is needed for, for the message.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return import_module(package)
    except (ImportError, OSError, RuntimeError) as error:  # the library behind the package is absent, or another one
        raise MissingPackageError(
            f"{purpose} need the package {package}, which cannot be imported ({error}); install it with "
            f"pip install 'nasfuse[{extra}]'"
        ) from error
