"""The folder of a deployed network: what it may replace, and how it is written."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasfuse.errors import InvalidInputError

#: Endings of the files of an export.
_SUFFIXES = (".json", ".onnx", ".pt2")


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Checks that a folder can be written: it is new or empty, or an older export that may be replaced.

    Args:
        folder: The folder.
        overwrite: Whether an older export may be replaced.

    Raises:
        InvalidInputError: It is a file, or holds something else or an export that may not be replaced.
    """
    if folder.is_file():
        raise InvalidInputError(f"{folder} is a file; give the name of a new folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not _is_export(folder):
        raise InvalidInputError(f"{folder} has files that are no export; give the name of a new folder")
    if not overwrite:
        raise InvalidInputError(f"{folder} has an export; give the name of a new folder, or replace it with --force")


def _is_export(folder: Path) -> bool:
    if any(path.suffix not in _SUFFIXES or not path.is_file() for path in folder.iterdir()):
        return False
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        isinstance(manifest, dict) and "recipe" in manifest and not manifest.keys().isdisjoint(("program", "programs"))
    )


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder`, which takes its place after the block."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    new.rename(folder)
