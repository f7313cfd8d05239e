"""Detection of tracing, and refusal of it where the path through a network depends on values.

A trace records one path, so it is wrong for other values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from nasfuse.errors import TracingError

_one_path_wanted: ContextVar[bool] = ContextVar("one_path_wanted", default=False)


@contextmanager
def one_path_wanted() -> Iterator[None]:
    """Allows tracing inside the block although the path may depend on values, for traces that are only inspected."""
    token = _one_path_wanted.set(True)
    try:
        yield
    finally:
        _one_path_wanted.reset(token)


def is_tracing() -> bool:
    """Returns whether torch records operators for `torch.jit.trace`, an ONNX exporter or `torch.export`."""
    by_jit = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return bool(by_jit or torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting())


def must_fit_all() -> bool:
    """Returns whether torch is recording a trace that will be run on other values, so outside `one_path_wanted`."""
    return is_tracing() and not _one_path_wanted.get()


def refuse_tracing(what: str, remedy: str) -> None:
    """Raises an error if torch is recording a trace that will be run on other values.

    Args:
        what: Statement of what depends on values.
        remedy: Correction for the user.

    Raises:
        TracingError: Under `torch.jit.trace`, an ONNX exporter or `torch.export`, outside `one_path_wanted`.
    """
    if must_fit_all():
        raise TracingError(f"{what}, and a trace would keep the path of its example for all inputs; {remedy}")


def keep_length(values: Tensor) -> Tensor:
    """Returns `values` (b, T, ...) unchanged; a trace of this call raises if T is not that of its example.

    The number of tokens of T steps is computed outside the trace, so another T would be padded and cropped wrongly.
    """
    if not is_tracing():
        return values
    return values.reshape(values.shape[0], *(int(size) for size in values.shape[1:]))
