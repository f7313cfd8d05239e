"""Searches how to fuse modalities and draws the accuracy-versus-MACs Pareto front.

Importing this package is instant: torch, ray and other heavy packages load with the module that needs them.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("nasfuse")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0+uninstalled"

__all__ = ["__version__"]
