"""Resolution of data sources: the name of a shipped data set, the path of a file or folder, or a function."""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nasfuse.errors import DataWarning

#: Data sets that need no file: name to the `module:function` of its `nasfuse.data.sources.registry.TableLoader`.
SHIPPED_SOURCES = {"digits": "nasfuse.data.sources.digits:digits_table"}


def is_function(source: str) -> bool:
    """Returns whether a source is `module:function` or `file.py:function`.

    >>> is_function("my.data:load"), is_function("here/mine.py:load"), is_function("mine.csv")
    (True, True, False)
    """
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*|.+\.py:[A-Za-z_]\w*", source) is not None


def locate(source: str, *, named_in: Path) -> str:
    """Returns `source` as an absolute path if its file or folder is found, else unchanged.

    The file is looked up from the working folder and then in the folder of `named_in`. For an absolute path that does
    not exist, the longest suffix of the path that exists below a parent folder of `named_in` is used, so that a project
    that was moved as a whole is still found. Names of files in the data folder are not changed.

    Args:
        source: Name of a shipped data set, a path, or a function.
        named_in: Study, recipe or checkpoint that contains `source`.
    """
    if source in SHIPPED_SOURCES or not source:
        return source
    if is_function(source):
        place, _, function = source.rpartition(":")
        return f"{locate(place, named_in=named_in)}:{function}" if place.endswith(".py") else source
    found = next((place for place in _places(Path(source), named_in) if os.path.exists(place)), None)
    if found is None:
        return source
    if os.path.isabs(source) and os.path.abspath(found) != os.path.abspath(source):
        warnings.warn(f"{source} does not exist; {os.path.abspath(found)} is used instead", DataWarning, stacklevel=2)
    return os.path.abspath(found)


def _places(source: Path, named_in: Path) -> Iterator[Path]:
    yield source
    yield named_in.parent / source
    if source.is_absolute():
        for start in range(1, len(source.parts)):
            end = Path(*source.parts[start:])
            yield from (folder / end for folder in Path(os.path.abspath(named_in)).parents)


def located(values: Any, *, named_in: Path) -> Any:
    """Returns the mapping of a study or recipe with its paths replaced by the result of `locate`.

    These are `data.source`, and `folder` in `data.modalities`.
    """
    data = values.get("data") if isinstance(values, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("source"), str):
        return values
    data = {**data, "source": locate(data["source"], named_in=named_in)}
    if isinstance(data.get("modalities"), dict):
        entries = data["modalities"].items()
        data["modalities"] = {name: _located_entry(entry, named_in) for name, entry in entries}
    return {**values, "data": data}


def _located_entry(entry: Any, named_in: Path) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("folder"), str):
        return entry
    return {**entry, "folder": locate(entry["folder"], named_in=named_in)}
