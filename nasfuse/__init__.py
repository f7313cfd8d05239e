"""Searches how to fuse modalities and draws the accuracy-versus-MACs Pareto front.

Importing this package is instant: torch, ray and other heavy packages load with the module that needs them.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasfuse.api import SearchRun, draft_study, load_run
    from nasfuse.api.search import search
    from nasfuse.prediction import TrainedNetwork, load_network

    __version__: str

__all__ = ["SearchRun", "TrainedNetwork", "__version__", "draft_study", "load_network", "load_run", "search"]

#: Package of each name of the Python API, imported when the name is used. `search` is a package itself.
_LATE = {
    "SearchRun": "nasfuse.api",
    "TrainedNetwork": "nasfuse.prediction",
    "draft_study": "nasfuse.api",
    "load_network": "nasfuse.prediction",
    "load_run": "nasfuse.api",
}


def __getattr__(name: str) -> Any:
    """Returns a member of the Python API, or the version."""
    if name == "__version__":
        return _version()
    if name == "search":
        return import_module("nasfuse.search")
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the time of `nasfuse --help`

    try:
        return version("nasfuse")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0.0.0+uninstalled"


class _Package(ModuleType):
    """This package. Its subpackage `nasfuse.search` can be called: it is the function `nasfuse.api.search`, too."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Binds a subpackage, as the import system does."""
        if name == "search" and isinstance(value, ModuleType):
            value.__class__ = _Search
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)


class _Search(ModuleType):
    """The subpackage `nasfuse.search`, whose call is that of the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> "SearchRun":
        """Runs a search; see `nasfuse.api.search`."""
        found: SearchRun = import_module("nasfuse.api").search(*args, **kwargs)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package
