"""Shipped studies and search spaces: inside an installed package, or at the root of a checkout."""

from pathlib import Path

from nasfuse.errors import MissingFileError, nearest

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_files(folder: str) -> dict[str, Path]:
    """Returns the shipped YAML files of `folder` (`studies` or `search_spaces`), by name without the suffix."""
    for root in (_PACKAGE, _PACKAGE.parent):
        files = sorted((root / folder).glob("*.yaml"))
        if files:
            return {file.stem: file for file in files}
    return {}


def find_shipped(path: Path, *, folder: str) -> Path:
    """Returns `path` if it is a file, else the shipped file of that name.

    Args:
        path: Path from the user: a file, `folder/name.yaml` or a bare name.
        folder: `studies` or `search_spaces`.

    Raises:
        MissingFileError: Neither a file nor a shipped name.
    """
    if path.is_file():
        return path
    shipped = shipped_files(folder)
    name = path.name.removesuffix(".yaml")
    if name in shipped and str(path.parent) in (".", folder):
        return shipped[name]
    what = "this is a folder" if path.is_dir() else "no such file"
    raise MissingFileError(f"{what}: {path}. Give a YAML file or a shipped name; {nearest(name, shipped)}")
