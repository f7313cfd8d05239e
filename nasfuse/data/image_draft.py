"""A first description of images in files: whether they are grey."""

from typing import Any

from PIL import Image

from nasfuse.data.raw_table import RawTable, texts

#: Files whose headers are read, at most.
_LOOK_AT = 2000


def draft_images(raw: RawTable, column: str) -> tuple[dict[str, Any], str]:
    """Returns the entry of a modality for images, and a note on them.

    Images have one channel if all files are grey. Three equal ones would be as accurate at more cost, and grey values
    of 16 bits have no place in colours of 8 bits. Files that cannot be read are left to the reading of the data.

    Args:
        raw: Table of the column.
        column: Column of paths.
    """
    entry: dict[str, Any] = {"kind": "image_files", "column": column}
    are_grey = False
    for path in sorted({text for text in texts(raw.columns[column]) if text})[:_LOOK_AT]:
        try:
            with Image.open(raw.folder / path) as image:
                are_grey = is_grey(image.mode)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        if not are_grey:
            break
    return ({**entry, "channels": 1}, ", grey") if are_grey else (entry, "")


def is_grey(mode: str) -> bool:
    """Returns whether images of a mode of Pillow have grey values alone.

    >>> [is_grey(mode) for mode in ("L", "1", "I;16", "RGB", "P")]
    [True, True, True, False, False]
    """
    return mode in ("L", "1") or mode.startswith("I")
