"""Which errors of a training are no fault of its network, but of what surrounds it."""

import re

from nasfuse.errors import CheckpointError, MissingFileError

#: Types of errors that a full disk, a lost file, a missing package, a damaged checkpoint or a lack of memory raise.
_TYPES = (OSError, ImportError, MemoryError, CheckpointError, MissingFileError)

#: Names of types of torch, which this module does not import.
_NAMES = frozenset({"OutOfMemoryError", "AcceleratorError"})

#: Texts of a RuntimeError of torch that says the same.
_TEXTS = re.compile(r"CUDA|cuDNN|can't allocate memory|out of memory|No space left|PytorchStreamWriter")


#: Texts of errors of torch and of the operating system that say so in other words.
_NO_MEMORY = re.compile(r"can't allocate memory|Cannot allocate memory")


def is_fault(error: BaseException) -> bool:
    """Returns whether an error of a training comes from what surrounds it: disk, files, packages, memory or device.

    The same training can then succeed later or elsewhere.
    """
    if isinstance(error, _TYPES) or type(error).__name__ in _NAMES:
        return True
    return isinstance(error, RuntimeError) and _TEXTS.search(str(error)) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory is out, but not in these words."""
    text = str(error)
    return (isinstance(error, MemoryError) and "out of memory" not in text) or _NO_MEMORY.search(text) is not None
