"""Fingerprints of data sets: hashes of their content."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.layout import CheckedArrays


def content_digest(checked: Mapping[str, CheckedArrays], targets: NDArray[Any]) -> bytes:
    """Returns the hash of the samples of a data set, without their division into splits.

    Args:
        checked: Checked arrays by modality; their order counts.
        targets: Targets as `check_targets` of the kind of task returns them.
    """
    digest = hashlib.sha256()
    for key, arrays in checked.items():
        for part in ("values", "index", "lengths", "present"):
            array = getattr(arrays, part)
            if array is not None:
                add_array(digest, f"{key}.{part}", array)
    add_array(digest, "labels", targets)
    return digest.digest()


def add_array(digest: "hashlib._Hash", name: str, array: NDArray[Any]) -> None:
    """Adds an array to a hash, with its name, type and shape."""
    digest.update(f"{name} torch.{array.dtype} {array.shape}".encode())  # "torch." as in fingerprints already recorded
    digest.update(np.ascontiguousarray(array).data)


def shown(digest: bytes) -> str:
    """Returns the 12 hexadecimal digits that are recorded of a hash."""
    return digest.hex()[:12]
