"""MACs of operators that fvcore does not count, or counts differently.

Convention: one multiply-accumulate per term of a matrix product or convolution. Norms, pooling, softmax, activations
and all other elementwise operators count 0, and so do copies.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from fvcore.nn.jit_handles import get_shape

from nasfuse.errors import UncountedOperatorError

Handle = Callable[[list[Any], list[Any]], "Counter[str]"]


def _attention(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts Q K^T and the weighted sum of V: b h q k (d + d_v), including masked keys, which are computed as well."""
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    *leading, n_queries, width = query
    pairs = math.prod(leading) * n_queries * key[-2]
    return Counter({"attention": pairs * (width + value[-1])})


def _recurrent(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts every weight matrix of a GRU or LSTM once per step and sample."""
    steps_and_batch = math.prod(get_shape(inputs[0])[:-1])
    weights = next(value for value in inputs if _is_weight_list(value))
    shapes = [get_shape(weight) for weight in weights.node().inputs()]
    return Counter({"recurrent": steps_and_batch * sum(s[0] * s[1] for s in shapes if len(s) == 2)})


def _is_weight_list(value: Any) -> bool:
    node = value.node()
    return bool(node.kind() == "prim::ListConstruct") and any(
        len(get_shape(item) or ()) == 2 for item in node.inputs() if item.isCompleteTensor()
    )


def _batched_product_with_bias(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts the product in beta C + alpha A B."""
    batch, rows, inner = get_shape(inputs[1])
    return Counter({"baddbmm": batch * rows * inner * get_shape(inputs[2])[-1]})


def _product(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts a product of vectors, matrices or (broadcast) batches: one inner product per element of the output.

    fvcore's own handle accepts matrices only and ignores a batch axis that only the second operand has.
    """
    return Counter({"matmul": math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]})


def _einsum(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts an einsum of two operands exactly: the product of the sizes of all indices; 0 for a single operand.

    fvcore's own handle reads a number with four digits from numpy's report.
    """
    equation = inputs[0].toIValue().replace(" ", "")
    shapes = [get_shape(value) for value in inputs[1].node().inputs()]
    if len(shapes) > 2 or "." in equation:
        raise UncountedOperatorError(
            f"no MACs are known for the operator aten::einsum with {equation!r}: only one or two operands "
            "without an ellipsis are counted; write it as products of two operands"
        )
    indices = equation.split("->")[0].replace(",", "")
    sizes = dict(zip(indices, [size for shape in shapes for size in shape], strict=True))
    return Counter({"einsum": math.prod(sizes.values()) if len(shapes) == 2 else 0})


def _convolution(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts a convolution with padding given as a string: the size of a kernel per element of the output."""
    return Counter({"conv": math.prod(get_shape(outputs[0])) * math.prod(get_shape(inputs[1])[1:])})


def _solved_system(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts a factorisation and two substitutions for each system of a batch: n^3 / 3 + n^2."""
    *batch, n, _ = get_shape(inputs[0])
    return Counter({"solve": math.prod(batch) * (n**3 // 3 + n**2)})


def _free(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts 0."""
    return Counter()


#: Handles that replace or complete fvcore's own.
HANDLES: dict[str, Handle] = {
    "aten::scaled_dot_product_attention": _attention,
    "aten::gru": _recurrent,
    "aten::lstm": _recurrent,
    "aten::rnn_tanh": _recurrent,
    "aten::rnn_relu": _recurrent,
    "aten::baddbmm": _batched_product_with_bias,
    "aten::matmul": _product,
    "aten::einsum": _einsum,
    "aten::dot": _product,
    "aten::mv": _product,
    "aten::_convolution_mode": _convolution,
    "aten::linalg_solve_ex": _solved_system,
    **{
        f"aten::{name}": _free
        for name in (
            "batch_norm",
            "group_norm",
            "layer_norm",
            "instance_norm",
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "upsample_nearest2d",
            "upsample_bilinear2d",
            "grid_sampler",
        )
    },
}

#: Operators without products: elementwise arithmetic, reductions, indexing and reshaping.
FREE: frozenset[str] = frozenset(
    f"aten::{name}"
    for name in """
    abs adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add add_ addcmul addcmul_ all alpha_dropout amax
    amin any arange argmax argsort avg_pool1d avg_pool2d avg_pool3d bernoulli bitwise_and bitwise_not bitwise_or
    bool cat ceil celu chunk clamp clamp_max clamp_min clone col2im concat constant_pad_nd contiguous copy copy_ cos
    cumsum detach diagonal div div_ dropout dropout_ elu embedding embedding_bag empty empty_like eq erf exp expand
    expand_as expm1 exponential_ eye feature_dropout fill fill_ flatten floor floor_divide full full_like gather ge
    gelu gelu_ gt hardsigmoid hardswish hardtanh im2col index index_put index_put_ index_select isfinite isnan item
    le leaky_relu lift_fresh linalg_vector_norm log log1p log_sigmoid log_softmax logical_and logical_not logical_or
    logsumexp lt masked_fill masked_fill_ masked_select max max_pool1d max_pool1d_with_indices max_pool2d
    max_pool2d_with_indices max_pool3d maximum mean min minimum mish mul mul_ narrow native_layer_norm ne neg
    new_full new_ones new_zeros nonzero norm numel numpy_T ones ones_like pad permute pow prelu prod rand rand_like
    randn randn_like reciprocal relu relu_ repeat repeat_interleave reshape resolve_conj resolve_neg rms_norm roll
    round rsqrt rsub scatter scatter_ scatter_add scatter_add_ select select_scatter selu sigmoid sigmoid_ sign silu
    silu_ sin size slice slice_scatter softmax softplus sort split split_with_sizes sqrt square squeeze stack std
    sub sub_ sum t take tanh tanh_ tensor_split to topk transpose tril triu type_as unbind unflatten unfold
    unsafe_chunk unsqueeze unsqueeze_ var view view_as where zero_ zeros zeros_like __and__ __or__ __xor__
    """.split()
)
