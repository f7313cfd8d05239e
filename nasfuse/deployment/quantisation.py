"""Graphs with 8-bit weights."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from nasfuse.data.extras import required

#: Operators whose weights are quantised: the matrix products of linear layers and of attention.
_OPERATORS = ["MatMul", "Gemm"]


def quantised(graphs: Mapping[str, bytes], *, exact: Collection[str] = ()) -> dict[str, bytes]:
    """Returns ONNX models in which the weights of linear layers are 8-bit integers, and so are their inputs.

    The scale of a weight is fixed, that of an input is computed from its values (dynamic quantisation of onnxruntime).
    Other operators, for example convolutions, remain as they are.

    Args:
        graphs: ONNX models by name.
        exact: Names of graphs that remain as they are.

    Raises:
        MissingPackageError: The package onnxruntime or onnx is not installed.
    """
    required("onnx", extra="onnx", purpose="exports of networks")
    tools = required("onnxruntime.quantization", extra="onnx", purpose="8-bit exports of networks")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        for name, graph in graphs.items():
            if name in exact:
                found[name] = graph
                continue
            before.write_bytes(graph)
            # Sums of products of 8 bits saturate on processors without VNNI; those with weights of 7 bits do not.
            tools.quantize_dynamic(
                before,
                after,
                op_types_to_quantize=_OPERATORS,
                weight_type=tools.QuantType.QInt8,
                reduce_range=True,
            )
            found[name] = after.read_bytes()
    return found
