"""Pickle files that hold only numpy arrays, numbers, text and plain containers; anything else is refused.

No object of a pickle is made by its own class. The names that arrays use (`_reconstruct`, `dtype`, `scalar`) are bound
to the classes below, which check sizes and number types before they use the bytes of an array. Structured number
types, whose states can lead numpy to read arbitrary memory, are refused.
"""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import DataError

#: Kinds of number types: booleans, whole, real and complex numbers, bytes, text and objects.
_KINDS = "biufcSUO"


def read_plain_pickle(path: Path) -> Any:
    """Returns the content of a pickle of numpy arrays, numbers, text, lists, tuples, sets and dictionaries.

    Files of Python 2 are read as well; their byte strings become text in Latin-1.

    Raises:
        DataError: The file is damaged, or names a class or function that is neither of numpy's arrays nor a plain
            container. Nothing that a file names is imported or called.
    """
    try:
        with path.open("rb") as file:
            return _finished(_Unpickler(path, file).load())
    except DataError:
        raise
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply, or holds itself; convert it to an .npz file") from error
    except Exception as error:  # pickle raises errors of many types on damaged files
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} is no pickle that can be read: {reason}; download or write it again") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # the encoding of the bytes of arrays that Python 2 wrote
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for a global name in a file; never imports anything."""
        parts = module.split(".")
        if parts[0] == "numpy" and name in _OF_NUMPY:
            return _OF_NUMPY[name]
        if module in ("builtins", "__builtin__", "collections", "_codecs") and name in _PLAIN:
            return _PLAIN[name]
        raise DataError(
            f"{self._path} holds {module}.{name}, and only numpy arrays, numbers, text and plain containers are read "
            "from a pickle; convert the file to .npz in a program that you trust"
        )


class _Maker:
    """A function that a pickle may call. Its state cannot be changed by the pickle."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a function has no state")


class _NumberType:
    """A number type whose byte order is set after its construction."""

    __slots__ = ("dtype",)

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(str(code))
        if self.dtype.kind not in _KINDS or self.dtype.names is not None or self.dtype.subdtype is not None:
            raise ValueError(f"arrays of {code} are not supported")

    def __setstate__(self, state: Any) -> None:
        if any(part is not None for part in state[2:5]):
            raise ValueError("structured arrays are not supported")
        order = _text(state[1])
        if order in "<>":
            self.dtype = self.dtype.newbyteorder("<" if order == "<" else ">")


class _Array:
    """An array whose shape, number type and content are set after its construction."""

    __slots__ = ("cells", "values")

    def __init__(self) -> None:
        self.values: NDArray[Any] | None = None
        self.cells: list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        shape, kind, is_fortran, content = state[-4:]
        shape = tuple(int(size) for size in shape)
        n_cells = math.prod(shape)
        if min(shape, default=0) < 0 or not isinstance(kind, _NumberType):
            raise ValueError("an array has no valid shape and number type")
        if kind.dtype.kind == "O":
            if not isinstance(content, list) or len(content) != n_cells:
                raise ValueError(f"an array of shape {shape} does not have {n_cells} objects")
            self.cells = content
            self.values = np.empty(shape, object)
            return
        content = _bytes(content)
        if len(content) != n_cells * kind.dtype.itemsize:
            raise ValueError(f"an array of {kind.dtype} of shape {shape} has {len(content)} bytes")
        flat = np.frombuffer(content, kind.dtype) if n_cells else np.empty(0, kind.dtype)
        self.values = flat.reshape(shape, order="F" if is_fortran else "C")

    def finished(self, depth: int) -> NDArray[Any]:
        """Returns the array, with the objects in it finished."""
        if self.values is None:
            raise ValueError("an array has no content")
        if self.cells is not None:
            flat = np.empty(len(self.cells), object)
            for row, cell in enumerate(self.cells):
                flat[row] = _finished(cell, depth)
            self.values, self.cells = flat.reshape(self.values.shape), None  # objects are stored in C order
        return self.values


def _array_of_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """Returns an array of pickle protocol 5."""
    array = _Array()
    array.__setstate__((shape, kind, _text(order) == "F", content))
    return array


def _scalar(kind: Any, content: Any) -> Any:
    """Returns a single number or text of numpy."""
    if not isinstance(kind, _NumberType) or kind.dtype.kind == "O":
        raise ValueError("a number has no valid number type")
    return np.frombuffer(_bytes(content), kind.dtype, count=1)[0]


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Returns bytes that old pickle protocols store as text."""
    if _text(encoding) not in ("latin1", "latin-1"):
        raise ValueError(f"text in {encoding} is not supported")
    return _text(text).encode("latin1")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return value.encode("latin1") if isinstance(value, str) else bytes(value)


_OF_NUMPY: dict[str, Any] = {
    "_reconstruct": _Maker(lambda *args: _Array()),
    "ndarray": _Maker(lambda *args: _Array()),
    "dtype": _Maker(lambda code, *args: _NumberType(code)),
    "scalar": _Maker(_scalar),
    "_frombuffer": _Maker(_array_of_buffer),
}
_PLAIN: dict[str, Any] = {
    "set": _Maker(set),
    "frozenset": _Maker(frozenset),
    "bytearray": _Maker(lambda *args: bytearray(_encoded(*args) if args and isinstance(args[0], str) else b"")),
    "bytes": _Maker(lambda: b""),  # old protocols store other bytes as text
    "complex": _Maker(complex),
    "OrderedDict": _Maker(dict),
    "encode": _Maker(_encoded),
}


def _finished(value: Any, depth: int = 0) -> Any:
    """Returns an object of the unpickler with all arrays in it, however deep, as numpy arrays."""
    if depth > 50:
        raise RecursionError
    if isinstance(value, _Array):
        return value.finished(depth + 1)
    if isinstance(value, dict):
        return {_finished(key, depth + 1): _finished(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_finished(one, depth + 1) for one in value)
    if isinstance(value, _NumberType | _Maker):
        raise ValueError("it holds a number type or a function outside an array")
    return value
