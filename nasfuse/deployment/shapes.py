"""Shapes in a graph as constants: a trace computes them anew in every call, which takes longer than small layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.extras import required

Array = NDArray[Any]

#: Operators that repeat an axis of length 1.
_REPEATING = frozenset({"Add", "And", "Div", "Mul", "Sub", "Where"})


def with_constant_shapes(model: Any, examples: Sequence[Mapping[str, Array]]) -> None:
    """Replaces numbers that a graph computes from shapes alone by constants, where they are the same for all batches.

    They are computed for two batch sizes. A number that is the same in both does not depend on the batch. In the target
    of a Reshape, the one entry that does is -1, which stands for what is left. In that of an Expand it is 1 where the
    tensor has that axis already. Rows for the samples of a batch that are all the same, for example of a mask without
    lengths, are one row where the operator repeats it. A Where that always takes the same side is removed. What depends
    on the batch in another way remains.

    Args:
        model: `onnx.ModelProto`, which is changed. Nodes that nothing reads any more are left to who writes the graph.
        examples: Inputs by name for two batch sizes.
    """
    onnx = required("onnx", extra="onnx", purpose="exports of networks")
    found = _of_shapes(model.graph)
    uses = [
        (node, place)
        for node in model.graph.node
        for place, name in enumerate(node.input)
        if name in found and not set(node.output) <= found
    ]
    if not uses:
        return
    names = {node.input[place] for node, place in uses}
    names |= {node.input[0] for node, _ in uses if node.op_type in ("Expand", "Reshape")}
    names |= {name for node, _ in uses if node.op_type in _REPEATING for name in (*node.input, *node.output)}
    names -= {one.name for one in model.graph.initializer}
    computed = [_computed(onnx, model, sorted(names - set(one)), one) | dict(one) for one in examples]
    constants: dict[tuple[str, str], str] = {}
    for node, place in uses:
        if node.op_type == "Identity":  # was a Where
            continue
        name = node.input[place]
        values = [each[name] for each in computed]
        value = _constant(node, place, values, [each.get(node.input[0]) for each in computed])
        if value is None and node.op_type in _REPEATING:
            value = _one_row(node, place, computed)
        if value is None:
            continue
        if node.op_type == "Where" and place == 0 and (value.all() or not value.any()):
            side = node.input[1 if value.all() else 2]
            if all(side in each and each[side].shape == each[node.output[0]].shape for each in computed):
                _pass_on(node, side)
                continue
        key = (name, str(value.tolist()))
        if key not in constants:
            constants[key] = f"{name} as constant {len(constants)}"
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, constants[key]))
        node.input[place] = constants[key]


def without_single_parts(model: Any) -> None:
    """Lets a concatenation of one tensor pass it on; each node takes as long as the arithmetic of a small layer."""
    for node in model.graph.node:
        if node.op_type == "Concat" and len(node.input) == 1:
            _pass_on(node, node.input[0])


def _pass_on(node: Any, name: str) -> None:
    """Makes an Identity of a node, which onnxruntime removes."""
    node.op_type = "Identity"
    del node.input[:], node.attribute[:]
    node.input.append(name)


def _one_row(node: Any, place: int, computed: Sequence[Mapping[str, Array]]) -> Array | None:
    """Returns the one row of an input whose rows are all the same, if the result has as many rows without it."""
    name = node.input[place]
    rows = [each[name] for each in computed]
    if any(one.ndim < 2 or (one != one[:1]).any() for one in rows) or not np.array_equal(rows[0][:1], rows[1][:1]):
        return None
    for each in computed:
        others = [each[other].shape for other in node.input if other != name and other in each]
        if not any(len(shape) == rows[0].ndim and shape[0] == len(each[name]) for shape in others):
            return None
    return rows[0][:1]


def _of_shapes(graph: Any) -> set[str]:
    """Returns the names of tensors that depend on shapes alone, not on values."""
    fixed = {one.name for one in graph.initializer}
    found: set[str] = set()
    for node in graph.node:
        reads = [name for name in node.input if name]
        if node.op_type == "Constant":
            fixed.update(node.output)
        elif node.op_type == "Shape" or (reads and set(reads) <= fixed | found and set(reads) & found):
            found.update(node.output)
    return found


def _computed(onnx: Any, model: Any, names: Sequence[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the values of tensors for some inputs."""
    runtime = required("onnxruntime", extra="onnx", purpose="exports of networks")
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    del wider.graph.output[:]
    wider.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(wider.SerializeToString(), options, providers=["CPUExecutionProvider"])
    known = {one.name for one in session.get_inputs()}
    values = session.run(list(names), {name: value for name, value in inputs.items() if name in known})
    return dict(zip(names, values, strict=True))


def _constant(node: Any, place: int, values: Sequence[Array], read: Sequence[Array | None]) -> Array | None:
    """Returns the constant for an input of a node; None if it depends on the batch."""
    one, other = values
    if one.shape != other.shape:
        return None
    changes = np.atleast_1d(one != other)
    if not changes.any():
        return one
    if place != 1 or one.ndim != 1 or changes.sum() > 1:
        return None
    axis = int(changes.argmax())
    if read[0] is None or read[1] is None:
        return None
    if node.op_type == "Reshape":
        rest = int(np.prod(one[one > 0]))
        whole = np.where(one == -1, read[0].size // max(rest, 1), one)
        return np.where(changes, -1, whole) if (whole > 0).all() else None
    if node.op_type == "Expand":
        own = axis - (len(one) - read[0].ndim)
        if own >= 0 and read[0].shape[own] == one[axis] and read[1].shape[own] == other[axis]:
            return np.where(changes, 1, one)
    return None
