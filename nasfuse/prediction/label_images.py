"""Label maps as pictures: one colour per class number, in PNG files that hold the numbers themselves."""

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LabelMap = NDArray[np.uint8]

#: Numbers that a byte can have.
_N_NUMBERS = 256


@cache
def label_colors() -> tuple[tuple[int, int, int], ...]:
    """Returns the colour (red, green, blue) of each number from 0 to 255.

    They are those of PASCAL VOC (Everingham et al., 2010). The bits of a number are dealt in turn to red, green and
    blue, whose highest bits are filled first, so that small numbers differ most.

    >>> label_colors()[:5]
    ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    """
    return tuple(
        (_spread_bits(number), _spread_bits(number >> 1), _spread_bits(number >> 2)) for number in range(_N_NUMBERS)
    )


def _spread_bits(number: int) -> int:
    """Returns a byte whose bits, from the highest, are bits 0, 3 and 6 of a number."""
    return sum((number >> (3 * place) & 1) << (7 - place) for place in range(3))


def label_png(numbers: LabelMap) -> bytes:
    """Returns the PNG file of a label map (H, W): its numbers, with a palette of `label_colors`."""
    image = Image.fromarray(numbers)
    image.putpalette([part for color in label_colors() for part in color])
    return _png(image)


def picture_png(values: NDArray[np.generic]) -> bytes:
    """Returns the PNG file of an image (C, H, W) for people, from its smallest to its largest value in 8 bits.

    Images of `uint8` with 3 channels are as they are; of other numbers of channels, the first one is shown in grey.
    """
    if values.dtype != np.uint8 or len(values) != 3:
        values = values[:3] if len(values) == 3 else values[:1]
        low, high = float(values.min()), float(values.max())
        values = ((values.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)
    return _png(Image.fromarray(values.transpose(1, 2, 0) if len(values) == 3 else values[0]))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
