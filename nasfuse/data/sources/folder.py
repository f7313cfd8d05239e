"""Folders: `.npy` files as arrays, or images in one folder per class."""

from pathlib import Path

import numpy as np

from nasfuse.data.raw_table import Array, RawTable
from nasfuse.data.sources.npz import OBJECTS, holds_objects
from nasfuse.errors import DataError

#: Endings of images.
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")

_SPLITS = ("train", "val", "test")


def read_folder(path: Path) -> RawTable:
    """Returns the arrays of the `.npy` files in a folder, or the images in its folders.

    Images have the columns `image` (path below the folder) and `y` (name of the folder that has the image). If the
    folders of the first level are called `train`, `val` and `test`, they are the column `split`.

    Raises:
        DataError: The folder has neither, or a file is damaged.
    """
    arrays = sorted(path.glob("*.npy"))
    if arrays:
        columns = {file.stem: read_array(file) for file in arrays}
        return RawTable(path.name, path.name, columns, None, path)
    images = sorted(
        file.relative_to(path)
        for file in path.rglob("*")
        if file.suffix.lower() in IMAGE_ENDINGS and file.is_file() and not file.name.startswith(".")
    )
    images = [image for image in images if len(image.parts) > 1]
    if not images:
        raise DataError(
            f"{path} has neither .npy files nor images ({', '.join(IMAGE_ENDINGS)}) in a folder per class, nor a table "
            "that names its files; name another folder or a file"
        )
    columns = {
        "image": _objects([image.as_posix() for image in images]),
        "y": _objects([image.parent.name for image in images]),
    }
    if {image.parts[0] for image in images} <= set(_SPLITS) and all(len(image.parts) > 2 for image in images):
        columns["split"] = _objects([image.parts[0] for image in images])
    return RawTable(path.name, path.name, columns, len(images), path, layout="images in one folder per class")


def read_array(file: Path) -> Array:
    """Returns the array of an `.npy` file, read without pickle.

    Raises:
        DataError: The file is damaged, or needs pickle.
    """
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        if holds_objects(error):
            raise DataError(f"{file} {OBJECTS}") from error
        raise DataError(f"{file} is no array of plain numbers or text: {error}; write it with numpy.save") from error


def _objects(values: list[str]) -> Array:
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result
