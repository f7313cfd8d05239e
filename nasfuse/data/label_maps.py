"""Label maps, one class number per pixel: their numbers, their files, and how they fit the images."""

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nasfuse.data.columns.base import Problem, text_of
from nasfuse.data.columns.files import UnknownContentError, read_files
from nasfuse.data.raw_table import Array, RawTable, missing
from nasfuse.domain.modality import Modality
from nasfuse.domain.task import VOID
from nasfuse.errors import DataError, DataWarning, counted, listed
from nasfuse.spec.data import DataConfig
from nasfuse.spec.modality import ImageFilesConfig

LabelMaps = NDArray[np.uint8]

#: Modes of images that hold one number per pixel: grey values, colours of a palette, bits, and 16 and 32 bits.
_NUMBERED = ("L", "P", "1", "I;16", "I;16B", "I")
#: Tag of the orientation of a photo, and its first value for which height and width are exchanged.
_ORIENTATION, _TURNED = 0x0112, 5


def label_maps(raw: RawTable, config: DataConfig, *, n_classes: int | None = None) -> tuple[LabelMaps, tuple[str, ...]]:
    """Returns (n, H, W) class numbers from 0, `VOID` where there is no label, and the names of the classes.

    The classes are those of `data.classes`, else all numbers up to the largest one in the data. Files are resized by
    nearest neighbour to the size of the largest images that are read from files.

    Args:
        raw: Data with the column or array of `data.target`.
        config: Description of the data, whose task is dense.
        n_classes: Number of classes, where it is known. Default: that of `data.classes` or of the data.

    Raises:
        DataError: The column holds no label maps, a number is no class, or a map does not fit the images of its sample.

    Warns:
        DataWarning: Some maps have no label at all, or some maps or images are smaller than others and are stretched.
    """
    if not isinstance(config.target, str):
        raise DataError(f"{raw.origin}: data.target must name one array of label maps, got {listed(config.target)}")
    column, values = config.target, raw.column(config.target, "data.target")
    place = raw.place(column)
    if values.dtype.kind in "OU":
        values = _of_files(raw, column, values, config)
    if values.dtype.kind not in "biu" or values.ndim != 3 or not values.size:
        raise DataError(
            f"{place} must be (n, H, W) whole numbers, one class per pixel, got {values.dtype} of shape "
            f"{values.shape}; correct it, or set data.task"
        )
    void = config.void_number
    if n_classes is None:
        n_classes = len(config.class_list) or _n_classes(place, values, void)
    if n_classes > VOID:
        hint = "" if void is not None else "; if the largest number marks pixels without a label, set it as data.void"
        raise DataError(f"{place} has numbers up to {n_classes - 1}, and there can be at most {VOID} classes{hint}")
    numbers = class_numbers(config, n_classes)
    found = _numbered(raw, column, values, numbers, void, names=config.class_list)
    _check_labelled(place, found)
    is_plain = numbers == tuple(range(n_classes))
    return found, config.class_list or (() if is_plain else tuple(str(number) for number in numbers))


def occurring_numbers(raw: RawTable, column: str) -> NDArray[np.int64]:
    """Returns the sorted numbers that occur in the label maps of a column, of which some may be missing.

    Raises:
        DataError: A file is no label map.
    """
    values = raw.column(column, "data.target")
    if values.dtype.kind not in "OU":
        return np.unique(values).astype(np.int64)
    maps: list[Any] = read_files(raw, column, "data.target", load=lambda path: np.unique(_read_map(path)), rows=None)
    _raise_first(maps)
    return np.unique(np.concatenate([one for one in maps if one is not None])).astype(np.int64)


def class_numbers(config: DataConfig, n_classes: int) -> tuple[int, ...]:
    """Returns the number that each class has in the data: 0, 1, ... without that of `data.void`.

    >>> class_numbers(DataConfig(source="mine.npz", task="segmentation", void=1), 3)
    (0, 2, 3)
    """
    return tuple(islice((number for number in count() if number != config.void_number), n_classes))


def check_aligned(name: str, modalities: Mapping[str, Modality], size: tuple[int, int]) -> None:
    """Checks that all images of a data set have the proportions of its label maps (H, W), up to rounding.

    Raises:
        DataError: An image has others.
    """
    for key, modality in modalities.items():
        if modality.kind == "image" and not _are_scaled(modality.shape[1:], size):
            own, maps = (" x ".join(map(str, part)) for part in (modality.shape[1:], size))
            raise DataError(
                f"{name}: modality {key} has images of {own} pixels and the label maps have {maps}, which is no scaled "
                "copy; they must show the same scene, so cut one of them"
            )


def _are_scaled(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Returns whether two sizes (H, W) have the same proportions, up to the rounding of a side."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _n_classes(place: str, values: Array, void: int | None) -> int:
    """Returns the number of classes up to the largest number that is not `void`."""
    largest = int(values.max())
    if void is not None and largest == void:
        rest = values[values != void]
        if not rest.size:
            raise DataError(f"{place} holds data.void ({void}) everywhere; there is nothing to learn")
        largest = int(rest.max())
    return max(largest, 0) + (0 if void is not None and 0 <= void < largest else 1)


def _numbered(
    raw: RawTable, column: str, values: Array, numbers: tuple[int, ...], void: int | None, *, names: tuple[str, ...]
) -> LabelMaps:
    """Returns the maps with the numbers of the classes instead of those in the data."""
    top = numbers[-1]
    table = np.full(top + 2, -1, np.int16)  # the last entry stands for all other numbers
    table[list(numbers)] = np.arange(len(numbers))
    found = np.empty(values.shape, np.uint8)
    for row, image in enumerate(values):
        own = image.astype(np.int64)
        classes = table[np.where((own >= 0) & (own <= top), own, top + 1)]
        if void is not None:
            classes[own == void] = VOID
        if classes.min() < 0:
            line, pixel = (int(part) for part in np.unravel_index(int(classes.argmin()), classes.shape))
            known = listed(names) if names else f"0 to {top}"
            hint = "" if void is not None else ", or set data.void to it if it marks pixels without a label"
            raise DataError(
                f"{_place_of(raw, column, row)}: the label {own[line, pixel]} at pixel row {line}, pixel column "
                f"{pixel} is none of the {counted(len(numbers), 'class')} ({known}); correct it or add the class to "
                f"data.classes{hint}"
            )
        found[row] = classes
    return found


def _check_labelled(place: str, maps: LabelMaps) -> None:
    is_empty = (maps == VOID).all(axis=(1, 2))
    if is_empty.all():
        raise DataError(f"{place} has no labelled pixel, data.void is everywhere; there is nothing to learn")
    if is_empty.any():
        verb = "has" if is_empty.sum() == 1 else "have"
        warnings.warn(
            f"{place}: {int(is_empty.sum())} of {counted(len(maps), 'label map')} {verb} no labelled pixel, the first "
            f"in row {int(is_empty.argmax())}; nothing is learned from them, and they count in no metric",
            DataWarning,
            stacklevel=4,
        )


def _of_files(raw: RawTable, column: str, values: Array, config: DataConfig) -> Array:
    """Returns the maps in the files that a column names, of one size."""
    if any(isinstance(value, np.ndarray) for value in values):
        raise DataError(f"{raw.place(column)} has label maps of different sizes; give all of them one size")
    absent = missing(values)
    if absent.any():
        raise DataError(
            f"{_place_of(raw, column, int(absent.argmax()))}: the label map is missing, as in "
            f"{counted(int(absent.sum()), 'row')} in all; add it, or remove these samples (`nasfuse predict` needs no "
            "labels)"
        )
    maps: list[Any] = read_files(raw, column, "data.target", load=_read_map, rows=None)
    _raise_first(maps)
    images = {name: entry for name, entry in config.modalities.items() if isinstance(entry, ImageFilesConfig)}
    for name, entry in images.items():
        _check_pairs(raw, column, entry.column or name, maps, size=entry.shape)
    if images:
        height, width = max((entry.shape for entry in images.values()), key=math.prod)
        sizes = {row: one.shape for row, one in enumerate(maps)}
        _warn_of_stretched(raw, column, sizes, (height, width), noun="label map")
        return np.stack([_resized(one, height, width) for one in maps])
    other = next((row for row, one in enumerate(maps) if one.shape != maps[0].shape), None)
    if other is not None:
        own, first = (" x ".join(map(str, maps[row].shape)) for row in (other, 0))
        raise DataError(
            f"{_place_of(raw, column, other)}: the label map has {own} pixels, and row 0 {first}; resize it"
        )
    return np.stack(maps)


def _read_map(path: Path) -> Array:
    try:
        opened = Image.open(path)
    except OSError:
        raise UnknownContentError("image") from None
    with opened as image:
        if image.mode not in _NUMBERED:
            raise ValueError(f"it has the mode {image.mode}, and a label map has one class number per pixel")
        return np.asarray(image)


def _resized(values: Array, height: int, width: int) -> Array:
    """Returns a map whose pixels are those at the centres of the new ones."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip((height, width), values.shape, strict=True)
    )
    return np.asarray(values[rows[:, None], columns])


def _check_pairs(raw: RawTable, column: str, images: str, maps: list[Any], *, size: tuple[int, int]) -> None:
    """Checks that images and label maps have the same proportions, sample by sample; missing images are skipped."""
    found = read_files(raw, images, "data.modalities", load=_size, rows=None)
    sizes = {row: own for row, own in enumerate(found) if isinstance(own, tuple)}
    for row, of_image in sizes.items():
        if not _are_scaled(of_image, maps[row].shape):
            own, image = (" x ".join(map(str, part)) for part in (maps[row].shape, of_image))
            raise DataError(
                f"{_place_of(raw, column, row)}: the label map has {own} pixels and the image in column {images} "
                f"{image}, which is no scaled copy; they must show the same scene"
            )
    _warn_of_stretched(raw, images, sizes, size, noun="image")


def _warn_of_stretched(
    raw: RawTable, column: str, sizes: Mapping[int, tuple[int, int]], size: tuple[int, int], *, noun: str
) -> None:
    """Warns of files that are smaller than others and are enlarged to `size` (H, W), which adds no detail.

    Args:
        raw: Data with the column.
        column: Column that names the files.
        sizes: Height and width of the files, by row.
        size: Height and width to which all of them are resized.
        noun: What the files are.
    """
    most = min(size, max(sizes.values(), key=math.prod, default=size), key=math.prod)
    small = [row for row, own in sizes.items() if own[0] < most[0] - 1 or own[1] < most[1] - 1]  # a pixel is rounding
    if small:
        own, new = (" x ".join(map(str, part)) for part in (sizes[small[0]], size))
        warnings.warn(
            f"{_place_of(raw, column, small[0])}: the {noun} has {own} pixels, fewer than others, and is stretched to "
            f"{new} ({len(small)} of {counted(len(sizes), noun)} in all); replace it if it was reduced by mistake",
            DataWarning,
            stacklevel=6,
        )


def unaligned_rows(raw: RawTable, columns: Sequence[str], size: tuple[int, int]) -> dict[int, str]:
    """Returns the rows with an image that has not the proportions of label maps (H, W), with the reason of each.

    Args:
        raw: Data without label maps.
        columns: Columns with paths of images; those that do not exist are skipped, as are images that cannot be read.
        size: Height and width of the label maps that a network predicts.
    """
    found: dict[int, str] = {}
    for column in columns:
        if column not in raw.columns:
            continue
        for row, own in enumerate(read_files(raw, column, "data.modalities", load=_size, rows=None)):
            if isinstance(own, tuple) and not _are_scaled(own, size):
                image, maps = (" x ".join(map(str, part)) for part in (own, size))
                place = _place_of(raw, column, row)
                reason = f"the image has {image} pixels and the label maps have {maps}, which is no scaled copy; cut it"
                found.setdefault(row, f"{place}: {reason}")
    return found


def _place_of(raw: RawTable, column: str, row: int) -> str:
    """Returns column and row for messages, with the file that the row names or else the name of the sample."""
    cell = raw.columns[column][row]
    if not isinstance(cell, str) and "id" in raw.columns and raw.n_rows is not None:
        cell = raw.columns["id"][row]
    return f"{raw.place(column, row)} ({cell})" if isinstance(cell, str) and cell else raw.place(column, row)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        is_turned = image.getexif().get(_ORIENTATION, 1) >= _TURNED
        return (image.width, image.height) if is_turned else (image.height, image.width)


def _raise_first(found: list[Any]) -> None:
    problems = [one for one in found if isinstance(one, Problem)]
    if problems:
        raise DataError(text_of(problems))
