"""Runs bundles of `nasfuse export --onnx` with numpy and onnxruntime alone."""

from nasfuse.runtime.bundle import FORMAT, Bundle, load
from nasfuse.runtime.results import Results

__all__ = ["FORMAT", "Bundle", "Results", "load"]
