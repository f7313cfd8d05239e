"""Concatenation of several arrays of a file along the features of one modality."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nasfuse.domain.modality import ModalityKind
from nasfuse.errors import DataError

Array = NDArray[np.generic]

#: Axes of an array with features by kind of modality; one that lacks the last axis is one feature.
_AXES: dict[ModalityKind, int] = {"vector": 2, "sequence": 3}


def concatenated(where: str, kind: ModalityKind, arrays: Mapping[str, Array]) -> Array:
    """Returns (u, F) or (u, T, F) with the features of all `arrays`, in their order and a common number type.

    Args:
        where: Prefix of messages.
        kind: `vector` or `sequence`.
        arrays: Arrays by name: (u, F) or (u,) for a vector, (u, T, F) or (u, T) for a sequence.

    Raises:
        DataError: `kind` is another one, an array does not hold numbers, or rows or steps differ.
    """
    if kind not in _AXES:
        raise DataError(f"{where} is an {kind}, and only vectors and sequences are concatenated; name one array")
    n_axes = _AXES[kind]
    for name, values in arrays.items():
        if values.dtype.kind not in "biuf" or values.ndim not in (n_axes - 1, n_axes):
            raise DataError(
                f"{where}: array {name} must be numbers with {n_axes - 1} or {n_axes} axes to be part of a {kind}, "
                f"got {values.dtype} of shape {values.shape}; remove it from arrays"
            )
    if len({values.shape[: n_axes - 1] for values in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
        raise DataError(
            f"{where}: arrays of one {kind} need the same {'rows' if n_axes == 2 else 'rows and steps'}, got {shapes}; "
            "make them modalities of their own or align them"
        )
    columns = [values[..., None] if values.ndim < n_axes else values for values in arrays.values()]
    return np.concatenate(columns, axis=-1)
