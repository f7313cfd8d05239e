"""Reducers, which select, pool or merge tokens in a stage.

All of them have the interface of `Reducer`; a new kind is a class with an entry in `REDUCERS`.
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
    """Returns the reducer called `kind`; None if it would keep all tokens, during training and after it.

    `top_k` and `merge` are also built for a keep ratio of 1, because it can be reduced after training.

    Args:
        kind: Key of `REDUCERS`.
        keep_ratio: See `Reducer`.
        inference_keep_ratio: See `Reducer`.
        width: Features of a token.
        heads: Number of heads of the attention before the reducer.
        n_tokens: Number of tokens of the longest sample.
        options: Further options of the kind.
    """
    reducer = REDUCERS[kind]
    if keep_ratio == 1.0 and inference_keep_ratio in (None, 1.0) and not reducer.used_untrained:
        return None
    options |= {"keep_ratio": keep_ratio, "inference_keep_ratio": inference_keep_ratio}
    return reducer.for_stage(options, width=width, heads=heads, n_tokens=n_tokens)


__all__ = ["REDUCERS", "Reducer", "build_reducer", "n_kept"]
