"""Searches how to fuse modalities and draws the accuracy-versus-MACs Pareto front.

Importing this package is instant: torch, ray and other heavy packages load with the module that needs them.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasfuse.prediction import TrainedNetwork, load_network

try:
    __version__ = version("nasfuse")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0+uninstalled"

__all__ = ["TrainedNetwork", "__version__", "load_network"]

#: Names of the Python API that are imported when they are used.
_LATE = ("TrainedNetwork", "load_network")


def __getattr__(name: str) -> Any:
    """Returns a member of the Python API."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nasfuse import prediction

    return getattr(prediction, name)
