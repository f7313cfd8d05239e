"""A first description of data with label maps: their classes, the pixels without a label, and the aligned images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nasfuse.data.image_draft import is_grey
from nasfuse.data.label_maps import occurring_numbers
from nasfuse.data.raw_table import Array, RawTable, missing, texts
from nasfuse.data.sources.folder import IMAGE_ENDINGS
from nasfuse.data.sources.label_folder import is_label_folder
from nasfuse.domain.task import VOID
from nasfuse.errors import DataError, counted

#: Arrays with the names of the classes, and the file of a folder that has them, one per line.
_NAMES, _NAMES_FILE = ("classes", "class_names", "names"), "classes.txt"
#: Names of what is no class.
_NO_CLASS = ("void", "ignore", "unknown")
#: Most pixels of an image that a first study asks for; larger ones are halved until they have at most as many.
_MOST_PIXELS = 2**15
#: Most values of a column of metadata.
_MOST_VALUES = 8


@dataclass(frozen=True)
class LabelDraft:
    """A first description of label maps.

    Attributes:
        modalities: `data.modalities` as plain values.
        classes: `data.classes`; None if the classes have no names.
        void: `data.void`; None if all numbers are classes.
        note: What the label maps are.
        named_in: Array with the names of the classes; empty without one.
    """

    modalities: dict[str, Any]
    classes: tuple[str, ...] | None
    void: int | str | None
    note: str
    named_in: tuple[str, ...] = ()


def is_label_map(raw: RawTable, target: str) -> bool:
    """Returns whether a column or array holds label maps: whole numbers as large as images, or files of `labels`."""
    values = raw.columns[target]
    if values.dtype.kind == "O":
        return is_label_folder(target) and _names_images(values)
    if values.ndim != 3 or values.dtype.kind not in "iu":
        return False
    return any(_is_aligned(other, values) for name, other in raw.columns.items() if name != target)


def draft_labels(raw: RawTable, target: str) -> LabelDraft:
    """Returns a first description of data whose `target` holds label maps.

    The classes are numbered up to the largest number. 255 marks pixels without a label if the numbers below do not
    reach it, and 0 if there is a name for every number from 1 on.

    Args:
        raw: Columns of paths, or arrays.
        target: Column or array with the label maps.

    Raises:
        DataError: A file of `target` is no label map, or there are names for some of the numbers only.
    """
    values = raw.columns[target]
    numbers = occurring_numbers(raw, target)
    named_in = _names_array(raw)
    names = _class_names(raw, named_in)
    void: int | str | None = None
    largest = int(numbers[-1])
    if largest == VOID and VOID - 1 not in numbers:
        void, numbers = VOID, numbers[:-1]
        largest = int(numbers[-1]) if len(numbers) else 0
    classes: tuple[str, ...] | None = None
    if len(names) == largest and void is None:
        classes, void = names, 0
    elif len(names) > largest:
        classes = names
        void = next((name for name in names if name in _NO_CLASS), void)
    elif names:
        listed_in = f"{raw.noun} {named_in}" if named_in else _NAMES_FILE
        raise DataError(
            f"{raw.origin}: {listed_in} has {counted(len(names), 'name')}, for classes 0 to {len(names) - 1}, and the "
            f"label maps have numbers up to {largest}; correct the label maps, or add the names"
        )
    shown = f"{counted(len(numbers), 'number')} from {numbers[0]} to {largest}" if len(numbers) else "no number"
    modalities = _of_files(raw) if values.dtype.kind == "O" else _of_arrays(raw, target)
    return LabelDraft(modalities, classes, void, f"label maps with {shown}", (named_in,) if named_in else ())


def draft_metadata(raw: RawTable, n_samples: int, used: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns with two to eight different values, one per sample, that are not `used`."""
    found = []
    for name, values in raw.columns.items():
        if name in used or values.shape != (n_samples,) or values.dtype.kind not in "biuOU" or missing(values).any():
            continue
        if any(isinstance(value, np.ndarray) for value in values):
            continue
        if 1 < len(set(texts(values))) <= min(_MOST_VALUES, n_samples // 2):
            found.append(name)
    return tuple(found)


def _names_array(raw: RawTable) -> str | None:
    """Returns the array with the names of the classes; None if there is none."""
    if raw.n_rows is not None:
        return None
    arrays = {name: raw.columns[name] for name in _NAMES if name in raw.columns}
    return next((name for name, values in arrays.items() if values.ndim == 1 and values.dtype.kind in "OU"), None)


def _class_names(raw: RawTable, array: str | None) -> tuple[str, ...]:
    """Returns the names of classes in their order; empty if the data have none."""
    if array is not None:
        return tuple(texts(raw.columns[array]))
    file = raw.folder / _NAMES_FILE
    if raw.n_rows is None or not file.is_file():
        return ()
    return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())


def _is_aligned(images: Array, maps: Array) -> bool:
    if len(images) != len(maps) or images.dtype.kind not in "biuf" or images.ndim not in (3, 4):
        return False
    return maps.shape[1:] in (images.shape[1:], images.shape[1:3], images.shape[2:])


def _of_arrays(raw: RawTable, target: str) -> dict[str, Any]:
    maps = raw.columns[target]
    return {
        name: "image"
        for name, values in raw.columns.items()
        if name != target and _is_aligned(np.asarray(values), maps)
    }


def _names_images(values: Array) -> bool:
    endings = {Path(text).suffix.lower() for text in texts(values) if text}
    return bool(endings) and endings <= set(IMAGE_ENDINGS)


def _of_files(raw: RawTable) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in raw.columns.items():
        if is_label_folder(name) or values.dtype.kind != "O" or not _names_images(values):
            continue
        path = raw.folder / next(text for text in texts(values) if text)
        with Image.open(path) as image:
            (width, height), mode = image.size, image.mode
        while height * width > _MOST_PIXELS and height % 2 == width % 2 == 0:
            height, width = height // 2, width // 2
        found[name] = {"kind": "image_files", "size": [height, width], "channels": 1 if is_grey(mode) else 3}
    return found
