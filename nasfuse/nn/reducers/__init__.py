"""Reducers: what drops or merges tokens in a stage.

One interface, tokens in and fewer tokens out, with masks and sizes, so that a further kind is one more class here.
"""

from typing import Any

from nasfuse.nn.reducers.base import Reducer, n_kept
from nasfuse.nn.reducers.latent import Latents
from nasfuse.nn.reducers.merging import Merge
from nasfuse.nn.reducers.pooling import AttentionPool, AveragePool, MaxPool, Strided
from nasfuse.nn.reducers.selection import GumbelTopK, TopK

#: Reducer by `kind` of a recipe.
REDUCERS: dict[str, type[Reducer]] = {
    "max": MaxPool,
    "average": AveragePool,
    "strided": Strided,
    "attention": AttentionPool,
    "top_k": TopK,
    "merge": Merge,
    "gumbel": GumbelTopK,
    "latent": Latents,
}


def build_reducer(
    kind: str,
    keep_ratio: float,
    inference_keep_ratio: float | None = None,
    *,
    width: int,
    heads: int = 1,
    n_tokens: int = 1,
    **options: Any,
) -> Reducer | None:
    """Returns the reducer called `kind`; None where everything is kept and nothing could be changed after training.

    That is a reducer that would learn to keep everything, and pooling of windows of one token; `top_k` and `merge`
    are also used on networks that were trained without them.

    Args:
        kind: Of `REDUCERS`.
        keep_ratio: See `Reducer`.
        inference_keep_ratio: See `Reducer`.
        width: Features of a token.
        heads: Of the attention before it.
        n_tokens: Of the longest sample.
        options: Those of the kind itself.
    """
    reducer = REDUCERS[kind]
    if keep_ratio == 1.0 and inference_keep_ratio in (None, 1.0) and not reducer.used_untrained:
        return None
    options |= {"keep_ratio": keep_ratio, "inference_keep_ratio": inference_keep_ratio}
    return reducer.for_stage(options, width=width, heads=heads, n_tokens=n_tokens)


__all__ = ["REDUCERS", "Reducer", "build_reducer", "n_kept"]
