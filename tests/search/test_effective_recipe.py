"""Which recipes are the same network in other words."""

import pytest

from nasfuse.search.effective_recipe import effective_hash
from nasfuse.spec.recipe import Recipe


def recipe(*, reducer=None, mlp=None, placement=2, fusion=None, encoder="transformer", depth=2, lr=0.01, **training):
    stream = {"encoder": encoder, "depth": depth, **(mlp or {}), **({} if reducer is None else {"reducer": reducer})}
    return Recipe.parse(
        {
            "data": {"source": "digits"},
            "network": {
                "route": ["left", "right"],
                "streams": {"left": stream, "right": stream},
                "fusion": {"kind": "concat", "placement": placement, **(fusion or {})},
            },
            "training": {"lr": lr, **training},
        }
    )


TIED = {"kind": "equilibrium", "max_steps": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"reducer": {"kind": "top_k", "keep_ratio": 1.0}}, {"reducer": {"kind": "merge", "keep_ratio": 1.0}}),
        ({"reducer": {"kind": "gumbel", "keep_ratio": 1.0, "at": 1}}, {}),
        (
            {"reducer": {"kind": "average", "keep_ratio": 1.0}, "encoder": "conv"},
            {"reducer": {"kind": "max", "keep_ratio": 1.0}, "encoder": "conv"},
        ),
        ({"placement": 2}, {"placement": 7}),
        ({"mlp": {"mlp_width": 40, "mlp_ratio": 2}}, {"mlp": {"mlp_width": 40, "mlp_ratio": 4}}),
        ({"fusion": {**TIED, "solver": "picard"}}, {"fusion": {**TIED, "tolerance": 1e-2}}),
        ({"loss": "cross_entropy"}, {}),
        ({"focal_gamma": 1.0}, {}),
    ],
)
def test_settings_without_effect(one, other):
    assert recipe(**one).hash != recipe(**other).hash
    assert effective_hash(recipe(**one)) == effective_hash(recipe(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"reducer": {"kind": "top_k", "keep_ratio": 0.5}}, {"reducer": {"kind": "merge", "keep_ratio": 0.5}}),
        ({"reducer": {"kind": "latent", "keep_ratio": 1.0}}, {}),
        ({"reducer": {"kind": "max", "keep_ratio": 1.0, "inference_keep_ratio": 0.5}}, {}),
        ({"placement": 1}, {"placement": 2}),
        ({"placement": 2, "depth": 3}, {"placement": 3, "depth": 3}),
        ({"fusion": {**TIED, "max_steps": 2}}, {"fusion": {**TIED, "max_steps": 2, "solver": "picard"}}),
        ({"lr": 0.01}, {"lr": 0.02}),
        ({"loss": "focal"}, {}),
        ({"loss": "focal"}, {"loss": "focal", "focal_gamma": 1.0}),
    ],
)
def test_settings_with_an_effect(one, other):
    assert effective_hash(recipe(**one)) != effective_hash(recipe(**other))
