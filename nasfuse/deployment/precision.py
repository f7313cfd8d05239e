"""Number types that onnxruntime has no operators for."""

from typing import Any

from nasfuse.data.extras import required

#: Operators that onnxruntime computes in float32 only, on a CPU.
_IN_FLOAT32 = frozenset({"Conv", "Erf"})


def with_supported_types(model: Any) -> Any:
    """Returns a graph in which operators that exist in float32 alone get float32 instead of float64.

    Their results are float64 again, so that everything else, for example the sums of a matrix product, keeps its
    digits.

    Args:
        model: `onnx.ModelProto`, which is changed.
    """
    onnx = required("onnx", extra="onnx", purpose="exports of networks")
    double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = (*inferred.value_info, *inferred.output, *inferred.input)
    wide = {one.name for one in known if one.type.tensor_type.elem_type == double}
    wide |= {one.name for one in model.graph.initializer if one.data_type == double}
    nodes = []
    for node in model.graph.node:
        if node.op_type not in _IN_FLOAT32 or not wide & set(node.input):
            nodes.append(node)
            continue
        (result,) = node.output
        for place, name in enumerate(node.input):
            nodes.append(onnx.helper.make_node("Cast", [name], [f"{result} reads {place}"], to=single))
            node.input[place] = f"{result} reads {place}"
        node.output[0] = f"{result} in float32"
        nodes += [node, onnx.helper.make_node("Cast", [node.output[0]], [result], to=double)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
