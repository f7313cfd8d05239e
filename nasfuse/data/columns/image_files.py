"""Images of one size from the files that a column of paths names."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nasfuse.data.columns.base import ColumnTransform, Problem, Reading, Rows, column_of
from nasfuse.data.columns.files import UnknownContentError, present_of, read_files
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import ImageFilesConfig

Pixels = NDArray[np.uint8 | np.uint16]

#: Number of training samples from which the mean colour is computed, at least.
_N_SAMPLED = 200


@dataclass(frozen=True)
class ImageFiles(ColumnTransform):
    """Images from files, resized to one size without regard to their proportions.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        fill: (C,) mean colour of the training samples, which stands for a missing image; uint8, or int32 for grey
            values of 16 bits (tensors of uint16 cannot be unpickled).
    """

    name: str
    config: ImageFilesConfig
    fill: Tensor
    stand_in: ClassVar[str] = "the mean colour of the training samples"

    @classmethod
    def fit(cls, name: str, config: ImageFilesConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the mean colour of evenly spaced training samples."""
        column, where = column_of(name, config.column)
        found = _read(raw, column, where, config, rows[:: max(len(rows) // _N_SAMPLED, 1)])
        images = [one for one in found if isinstance(one, np.ndarray)]
        if not images:
            problem = next((f": {one.message}" for one in found if isinstance(one, Problem)), "")
            raise DataError(f"{raw.place(column)} names no image that can be read{problem or '; name another column'}")
        mean = np.mean([image.mean(axis=(0, 1)) for image in images], axis=0)
        dtype = np.uint8 if images[0].dtype == np.uint8 else np.int32
        return cls(name, config, torch.from_numpy(mean.round().astype(dtype)))

    def read(self, raw: RawTable) -> Reading:
        """Returns (n, H, W, C) uint8 or uint16."""
        column, where = column_of(self.name, self.config.column)
        fill, dtype = self.fill.numpy(), np.dtype(np.uint8 if self.fill.dtype == torch.uint8 else np.uint16)
        found = _read(raw, column, where, self.config, None, dtype=dtype)
        images = np.empty((len(found), *self.config.shape, self.config.channels), dtype)
        for row, one in enumerate(found):
            images[row] = one if isinstance(one, np.ndarray) else fill
        problems = tuple(one for one in found if isinstance(one, Problem))
        return Reading(ModalityArrays("image", images, present=present_of(found)), problems, column)

    def state(self) -> dict[str, Any]:
        """Returns the description and the mean colour."""
        return {"name": self.name, "config": self.config.to_plain(), "fill": self.fill}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        return cls(state["name"], ImageFilesConfig.parse(state["config"]), state["fill"])


def _read(
    raw: RawTable,
    column: str,
    where: str,
    config: ImageFilesConfig,
    rows: Rows | None,
    *,
    dtype: np.dtype[Any] | None = None,
) -> list[Pixels | Problem | None]:
    height, width = config.shape

    def load(path: Path) -> Pixels:
        image = opened_image(path.read_bytes(), mode="RGB" if config.channels == 3 else "L")
        resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        return resized.astype(resized.dtype.newbyteorder("=")).reshape(height, width, config.channels)

    def check(values: Pixels) -> None:
        if dtype is not None and values.dtype != dtype:
            bits = [8 * one.itemsize for one in (values.dtype, dtype)]
            raise ValueError(f"it has {bits[0]} bits per value, and the training images have {bits[1]}")

    return read_files(raw, column, where, load=load, rows=rows, way=(column, config.model_dump_json()), check=check)


def opened_image(content: bytes, *, mode: Literal["RGB", "L"]) -> Image.Image:
    """Returns the image in the bytes of a file, in the orientation of its tag.

    Args:
        content: Bytes of the file.
        mode: `RGB` for colours, `L` for grey values, which keep 16 bits if the file has them.

    Raises:
        UnknownContentError: It is no image.
    """
    try:
        opened = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:  # its message is the address of the buffer
        raise UnknownContentError("image") from None
    with opened as image:
        turned = ImageOps.exif_transpose(image)
        return turned if mode == "L" and turned.mode.startswith("I;16") else turned.convert(mode)
