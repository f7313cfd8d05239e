"""Tracing records one path through a network; where the path depends on values, that is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from nasfuse.errors import TracingError

_one_path_wanted: ContextVar[bool] = ContextVar("one_path_wanted", default=False)


@contextmanager
def one_path_wanted() -> Iterator[None]:
    """Allows tracing to record the path of its example while the block runs, for a trace that is never run again."""
    token = _one_path_wanted.set(True)
    try:
        yield
    finally:
        _one_path_wanted.reset(token)


def is_tracing() -> bool:
    """Returns whether torch records operators: for `torch.jit.trace`, the ONNX exporters or `torch.export`."""
    by_jit = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return bool(by_jit or torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting())


def refuse_tracing(what: str, remedy: str) -> None:
    """Raises while torch records a trace that is to be run on other values.

    Args:
        what: The rule that tracing would break: what depends on values.
        remedy: What to do instead.

    Raises:
        TracingError: Under `torch.jit.trace`, an ONNX exporter or `torch.export`, outside `one_path_wanted`.
    """
    if is_tracing() and not _one_path_wanted.get():
        raise TracingError(f"{what}, and a trace would keep the path of its example for all inputs; {remedy}")


def keep_length(values: Tensor) -> Tensor:
    """Returns `values` (b, T, ...) as they are; a trace raises on a T that is not that of its example.

    How many tokens T steps make is computed outside of the trace, so another T would be padded and cut wrongly.
    """
    if not is_tracing():
        return values
    return values.reshape(values.shape[0], *(int(size) for size in values.shape[1:]))
