"""Effective recipe: a recipe without the settings that have no effect, so that equal networks are recognised."""

import hashlib
import json
from typing import Any

from nasfuse.domain.loss import LOSS_OPTIONS, get_loss
from nasfuse.spec.fusion import EquilibriumFusion
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.reducer import LatentReducer
from nasfuse.spec.sites import ALL_OPTIONS, SitesConfigBase, SitesFusion

#: Fields of an equilibrium that stop or steer its iteration, which has no choice with a single step.
_OF_ITERATION = ("solver", "tolerance", "inference_tolerance")


def effective_hash(recipe: Recipe) -> str:
    """Returns a hash that recipes share if they differ only in settings without effect.

    Recognised are the kind and stage of a reducer that keeps all tokens, a placement behind the last stage of every
    stream, sites that are given by their number or one by one, options of other site operators, the ratio of an MLP
    whose hidden width is given, the solver and the tolerance of an equilibrium with one step, a loss that is the
    default of the task, and the options of other losses.
    """
    plain = recipe.to_plain()
    loss = get_loss(recipe.training.loss, recipe.data.task)
    if loss == get_loss(None, recipe.data.task):
        _drop(plain["training"], "loss")
    _drop(plain["training"], *(name for name in LOSS_OPTIONS if name not in loss.options))
    for part in (*plain["network"]["streams"].values(), plain["network"].get("fusion") or {}):
        if "mlp_width" in part:
            _drop(part, "mlp_ratio")
    for name, stream in recipe.network.streams.items():
        reducer = getattr(stream, "reducer", None)
        if reducer is None or isinstance(reducer, LatentReducer):
            continue
        if reducer.keep_ratio == 1.0 and getattr(reducer, "inference_keep_ratio", None) in (None, 1.0):
            _drop(plain["network"]["streams"][name], "reducer")
    fusion = recipe.network.fusion
    if fusion is not None:
        written = plain["network"]["fusion"]
        if "placement" in written:
            written["placement"] = min(written["placement"], max(recipe.network.depths.values()))
        if isinstance(fusion, EquilibriumFusion) and fusion.max_steps == 1:
            _drop(written, *_OF_ITERATION)
        if isinstance(fusion, SitesConfigBase):
            _drop(written, "n_sites", "position")
            written["sites"] = recipe.network.sites
        if isinstance(fusion, SitesFusion):
            written["main"] = recipe.network.main
            _drop(written, *(set(ALL_OPTIONS) - fusion.options_in_use))
            if fusion.last_operator in (None, fusion.operator):
                _drop(written, "last_operator")
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _drop(written: dict[str, Any], *keys: str) -> None:
    for key in keys:
        written.pop(key, None)
