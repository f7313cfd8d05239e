"""MACs of the operators that fvcore counts as nothing, or counts as more than their products.

Convention: one multiply-accumulate per term of a matrix product or convolution. Norms, pooling, softmax,
activations and every other elementwise operator are 0. Memory traffic is not arithmetic.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from fvcore.nn.jit_handles import get_shape

Handle = Callable[[list[Any], list[Any]], "Counter[str]"]


def _attention(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts Q K^T and the weighted sum of V: b h q k (d + d_v); masked keys are counted, they are computed."""
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    *leading, n_queries, width = query
    pairs = n_queries * key[-2]
    for size in leading:
        pairs *= size
    return Counter({"attention": pairs * (width + value[-1])})


def _recurrent(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts every weight matrix of a GRU or LSTM once per step and sample."""
    steps_and_batch = 1
    for size in get_shape(inputs[0])[:-1]:
        steps_and_batch *= size
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


def _product_of_vectors(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts a dot product or a matrix times a vector: every element of the first operand once."""
    total = 1
    for size in get_shape(inputs[0]):
        total *= size
    return Counter({"vector_product": total})


def _free(inputs: list[Any], outputs: list[Any]) -> "Counter[str]":
    """Counts nothing."""
    return Counter()


#: Handles that replace or complete fvcore's own.
HANDLES: dict[str, Handle] = {
    "aten::scaled_dot_product_attention": _attention,
    "aten::gru": _recurrent,
    "aten::lstm": _recurrent,
    "aten::rnn_tanh": _recurrent,
    "aten::rnn_relu": _recurrent,
    "aten::baddbmm": _batched_product_with_bias,
    "aten::dot": _product_of_vectors,
    "aten::mv": _product_of_vectors,
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
    abs add add_ addcmul alpha_dropout amax amin any all arange argmax argsort avg_pool1d avg_pool2d bernoulli
    bitwise_and bitwise_not bitwise_or bool cat ceil chunk clamp clamp_min clamp_max clone concat constant_pad_nd
    contiguous copy copy_ cos cumsum detach div div_ dropout dropout_ elu embedding empty empty_like eq erf exp
    expand expand_as feature_dropout fill fill_ flatten floor floor_divide full full_like gather ge gelu gelu_ gt
    index index_put index_put_ index_select isnan item le leaky_relu lift_fresh log log_softmax logical_and
    logical_not logical_or lt masked_fill masked_fill_ masked_select max max_pool1d max_pool2d
    max_pool1d_with_indices max_pool2d_with_indices maximum mean min minimum mul mul_ narrow ne neg new_full
    new_ones new_zeros nonzero norm numpy_T ones ones_like pad permute pow prelu rand rand_like randn randn_like
    reciprocal relu relu_ repeat repeat_interleave reshape resolve_conj resolve_neg rms_norm roll round rsqrt
    rsub scatter scatter_ scatter_add scatter_add_ select select_scatter sigmoid sigmoid_ sign silu silu_ sin size
    slice slice_scatter softmax softplus sort split split_with_sizes sqrt squeeze stack std sub sub_ sum t take
    tanh tanh_ tensor_split to topk transpose tril triu type_as unbind unflatten unfold unsqueeze unsqueeze_ var
    view view_as where zeros zeros_like zero_ __and__ __or__ __xor__
    """.split()
)
