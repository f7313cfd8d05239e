"""Folders of images with a label map for each sample: `rgb/0001.png`, `depth/0001.png`, `labels/0001.png`."""

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasfuse.data.raw_table import Array, RawTable, texts
from nasfuse.data.sources.folder import IMAGE_ENDINGS
from nasfuse.data.sources.split_parts import split_word
from nasfuse.errors import DataError, DataWarning, counted, listed

#: Names of folders with label maps.
_LABELS = r"labels?(_.*)?"
#: Ending of the files that list the samples of a split, one name per line.
_LIST = ".txt"


@dataclass(frozen=True)
class _Sample:
    """A sample: the split of its folder, None if its folders are not those of a split, and the stem of its files."""

    split: str | None
    stem: str


def is_label_folder(name: str) -> bool:
    """Returns whether a folder of this name holds label maps.

    >>> [is_label_folder(name) for name in ("labels", "labels_40", "label", "rgb")]
    [True, True, True, False]
    """
    return re.fullmatch(_LABELS, name) is not None


def has_label_folder(path: Path) -> bool:
    """Returns whether a folder has a folder of images called `labels` or `labels_...`, also in folders by split."""
    return any(is_label_folder(name) and any(_files(folders)) for name, folders in _kinds(path).items())


def has_folders(path: Path, names: Collection[str]) -> bool:
    """Returns whether a folder has a folder of images of one of `names`, also in folders by split."""
    kinds = _kinds(path)
    return any(name in kinds and any(_files(kinds[name])) for name in names)


def read_label_folder(path: Path, readers: Mapping[str, Callable[[Path], RawTable]]) -> RawTable:
    """Returns the paths of images and label maps, one sample per row.

    Files of the folders of a sample have the same name up to the ending. The folders may be in, or contain, folders
    called train, val and test; else `train.txt`, `val.txt` and `test.txt` may list the names of the samples of each
    split. A table beside the folders with a column of these names adds its other columns. A name that is absent from a
    folder is a missing value.

    Args:
        path: Folder.
        readers: Functions that read a table, by the ending of its name.

    Raises:
        DataError: Two files have one name, a list or table names a sample that is not there, or no names agree.

    Warns:
        DataWarning: Samples that no list has are left out.
    """
    kinds = {name: _by_sample(folders) for name, folders in _kinds(path).items()}
    kinds = {name: files for name, files in kinds.items() if files}
    samples = sorted({one for files in kinds.values() for one in files}, key=lambda one: (one.split or "", one.stem))
    if len(kinds) > 1 and all(sum(one in files for files in kinds.values()) == 1 for one in samples):
        examples = ", ".join(f"{name}/{next(iter(files.values())).name}" for name, files in kinds.items())
        raise DataError(f"{path}: files of one sample must have the same name in every folder, got {examples}; rename")
    samples, splits = _listed(path, samples)
    columns = {
        name: _objects([_relative(path, files.get(one)) for one in samples]) for name, files in sorted(kinds.items())
    }
    columns["id"] = _objects([one.stem for one in samples])
    if any(split is not None for split in splits):
        columns["split"] = _objects(splits)
    columns |= _of_table(path, readers, samples, known=columns)
    layout = "one folder of images per column"
    return RawTable(path.absolute().name, path.name, columns, len(samples), path, layout=layout)


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _kinds(path: Path) -> dict[str, list[tuple[str | None, Path]]]:
    """Returns the folders with files of one kind, with the split that they are for, by their name."""
    found: dict[str, list[tuple[str | None, Path]]] = {}
    for folder in _folders(path):
        own = split_word(folder.name)
        parts = [(split, one) for one in _folders(folder) if (split := split_word(one.name)) is not None]
        if own is not None:
            for one in _folders(folder):
                found.setdefault(one.name, []).append((own, one))
        else:
            found.setdefault(folder.name, []).extend(parts or [(None, folder)])
    return found


def _files(folders: list[tuple[str | None, Path]]) -> Iterator[tuple[str | None, Path]]:
    for split, folder in folders:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in IMAGE_ENDINGS and file.is_file() and not file.name.startswith("."):
                yield split, file


def _by_sample(folders: list[tuple[str | None, Path]]) -> dict[_Sample, Path]:
    found: dict[_Sample, Path] = {}
    for split, file in _files(folders):
        sample = _Sample(split, file.stem)
        if sample in found:
            raise DataError(
                f"{file.parent} has {found[sample].name} and {file.name} for one sample; remove one of them"
            )
        found[sample] = file
    return found


def _listed(path: Path, samples: list[_Sample]) -> tuple[list[_Sample], list[str | None]]:
    """Returns the samples that the list files have, with their splits; all samples if there are no list files."""
    files = {split_word(one.stem): one for one in sorted(path.glob(f"*{_LIST}")) if split_word(one.stem)}
    if not files:
        return samples, [one.split for one in samples]
    found: dict[_Sample, str] = {}
    there = set(samples)
    for split in (word for word in ("train", "val", "test") if word in files):
        file = files[split]
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            stem = Path(line.strip()).stem
            own = next((one for one in (_Sample(split, stem), _Sample(None, stem)) if one in there), None)
            if own is None:
                raise DataError(f"{file}, line {number}: there is no file called {stem} in the folders of images")
            if own in found:
                raise DataError(f"{file}, line {number}: {stem} is listed twice; remove one line")
            found[own] = split
    left = [one.stem for one in samples if one not in found]
    if left:
        names = f"{listed(left[:3])}{' ...' if len(left) > 3 else ''}"
        text = f"{path.name}: {counted(len(left), 'sample')} in no list file, left out: {names}"
        warnings.warn(text, DataWarning, stacklevel=4)
    return list(found), list(found.values())


def _of_table(
    path: Path,
    readers: Mapping[str, Callable[[Path], RawTable]],
    samples: list[_Sample],
    *,
    known: Collection[str],
) -> dict[str, Array]:
    """Returns the other columns of the table that names the samples; none if there is no table."""
    files = [one for one in sorted(path.iterdir()) if one.suffix.lower() in readers and one.is_file()]
    if not files:
        return {}
    if len(files) > 1:
        raise DataError(f"{path} has several tables ({', '.join(file.name for file in files)}); keep one")
    table = readers[files[0].suffix.lower()](files[0])
    wanted = [one.stem for one in samples]
    fewest, of_names = wanted, ""
    for name, values in table.columns.items():
        if values.ndim != 1 or values.dtype.kind not in "OUiu":
            continue
        stems = [Path(text).stem for text in texts(values)]
        known_stems = set(stems)
        absent = [stem for stem in wanted if stem not in known_stems]
        if not absent:
            rows = {stem: row for row, stem in enumerate(stems)}
            order = np.array([rows[stem] for stem in wanted])
            return {one: found[order] for one, found in table.columns.items() if one not in {*known, name}}
        if len(absent) < len(fewest):
            fewest, of_names = absent, name
    if of_names:
        more = ", ..." if len(fewest) > 3 else ""
        raise DataError(
            f"{files[0]}: column {of_names} lacks {counted(len(fewest), 'sample')} of the folder "
            f"({listed(fewest[:3])}{more}); add rows for them, or remove their files"
        )
    raise DataError(
        f"{files[0]} has no column with the names of all samples ({listed(wanted[:3])}, ...); add one called id, or "
        "move the file"
    )


def _relative(path: Path, file: Path | None) -> str | None:
    return None if file is None else file.relative_to(path).as_posix()


def _objects(values: Collection[str | None]) -> Array:
    result = np.empty(len(values), dtype=object)
    result[:] = list(values)
    return result
