"""Word labels of classes as class numbers."""

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import DataError

Array = NDArray[np.generic]


def number_words(where: str, labels: Array) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Returns the numbers of word labels (n,) and the names of the classes, in alphabetical order.

    Words are compared as they are, also in case.

    Raises:
        DataError: A label is empty or has spaces at an end.

    Example:
        >>> number_words("the labels", np.array(["dog", "cat", "dog"]))
        (array([1, 0, 1]), ('cat', 'dog'))
    """
    names, numbers = np.unique(labels.astype(str), return_inverse=True)
    for number, name in enumerate(names.tolist()):
        if not name or name != name.strip():
            row = int(np.equal(numbers, number).argmax())
            raise DataError(
                f"{where} must be words without spaces at their ends, got {name!r} in row {row}; correct it, or remove "
                "the sample if its label is missing"
            )
    return numbers.astype(np.int64), tuple(names.tolist())
