"""Spaces with dynamic routes: choices, routers and baselines written for any data."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import ConfigError
from nasfuse.nn import build_network
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.routing import SequentialRouter
from nasfuse.spec.space import SpaceConfig

VECTOR = Modality("v", "vector", (6,))
SEQUENCE = Modality("s", "sequence", (11, 5))
IMAGE = Modality("i", "image", (1, 8, 8))
BASE = {"metric": "accuracy", "data": {"source": "somewhere.npz"}}
ROUTES = {"subsets": True}


def make(fields, *, modalities=(VECTOR, SEQUENCE, IMAGE), fixed=None, baselines=None, study=None):
    config = SpaceConfig.parse({"fields": fields, "fixed": fixed or {}, "baselines": baselines or {}})
    return Space(config, modalities, base=BASE, fixed=study)


def parameter(space, name):
    return next(one for one in space.parameters if one.name == name)


def draws(space, *, n_draws, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n_draws)]


def problems(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        make(*args, **kwargs)
    return [str(problem) for problem in caught.value.problems]


DYNAMIC = {"subsets": True, "choices": ["each > all"]}
FIELDS = {
    "network.route": DYNAMIC,
    "network.streams.*.depth": {"int": [1, 3], "default": 2, "when": {"network.route": {"has": "*"}}},
    "network.fusion.placement": {"int": [0, 3], "default": 2, "when": {"network.route": {"at_least": 2}}},
    "network.router.reads": {"choices": ["cheap_route", "inputs"], "when": {"network.route": {"dynamic": True}}},
    "training.routing.freeze": {"choices": [True, False], "when": {"network.route": {"dynamic": True}}},
    "training.patience": {"int": [1, 9], "when": {"network.route": {"dynamic": False}}},
}
DEPTHS = {f"network.streams.{name}.depth": 2 for name in "vsi"}


def test_choices_stand_beside_subsets():
    space = make(FIELDS)
    static = ("v", "s", "i", "v+s", "v+i", "s+i", "v+s+i")
    dynamic = ("v > v+s+i", "s > v+s+i", "i > v+s+i")
    assert parameter(space, "network.route").distribution.choices == (*static, *dynamic)


def test_a_route_that_a_subset_has_too_is_there_once():
    space = make({"network.route": {"subsets": True, "choices": ["i+v", "s > s:1+i"]}})
    assert space.parameters[0].distribution.choices[6:] == ("v+s+i", "s > s:1+i")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("v > v", "fields.network.route: two routes of 'v > v' come to the same; name each once"),
        ("v > each+all", "fields.network.route: all is every stream and stands alone in a route, got 'i+all'"),
        ("others > all", "fields.network.route: the data has no modality 'others'; others is what each leaves"),
    ],
)
def test_invalid_routes(route, message):
    assert any(found.startswith(message) for found in problems({"network.route": {"choices": [route]}}))


def test_one_modality_has_static_routes_only():
    space = make({"network.route": DYNAMIC}, modalities=[IMAGE])
    assert space.parameters[0].distribution.choices == ("i",)


def test_one_modality_needs_a_static_route():
    assert problems({"network.route": {"choices": ["each > all"]}}, modalities=[IMAGE]) == [
        "fields.network.route: the data has one modality, so none of these routes is left; add subsets: true"
    ]


def test_a_dynamic_default_does_not_count_for_one_modality():
    space = make({"network.route": {**DYNAMIC, "default": "each > all"}}, modalities=[IMAGE])
    assert (space.parameters[0].default, space.parameters[0].distribution.choices) == ("i", ("i",))


def test_a_default_is_written_as_a_choice_is():
    space = make({"network.route": {"choices": ["each", "each > all"], "default": "each > all"}})
    assert space.parameters[0].default == "v > v+s+i"


@pytest.mark.parametrize(("dynamic", "route"), [(True, "i > v+s+i"), (False, "v+s+i")])
def test_routers_exist_where_there_is_a_choice(dynamic, route):
    space = make(FIELDS)
    drawn = [one for one in draws(space, n_draws=60) if one["network.route"] == route]
    assert drawn
    for one in drawn:
        assert ("network.router.reads" in one) is ("training.routing.freeze" in one) is dynamic
        assert ("training.patience" in one) is not dynamic


def test_a_dynamic_route_is_a_router():
    space = make(FIELDS, fixed={"network.router.threshold": 0.3, "training.routing.resource_weight": 0.2})
    routed = space.recipe(
        {"network.route": "i > v+s+i", "network.router.reads": "inputs", "training.routing.freeze": False}
    )
    assert routed.network.route == ("v", "s", "i")
    assert routed.network.router.routes == ("i", "v+s+i")
    assert (routed.network.router.reads, routed.network.router.threshold) == ("inputs", 0.3)
    assert (routed.training.routing.freeze, routed.training.routing.resource_weight) == (False, 0.2)
    static = space.recipe({"network.route": "v+s+i"})
    assert (static.network.router, static.training.routing) == (None, None)


def test_the_kind_of_a_router_may_be_drawn():
    kind = {"choices": ["sequential", "gate"], "when": {"network.route": {"dynamic": True}}}
    gate = {"network.router.kind": "gate"}
    fields = {
        **FIELDS,
        "network.router.kind": kind,
        **{key: {**FIELDS[key], "when": gate} for key in ("network.router.reads", "training.routing.freeze")},
    }
    fixed = {"network.router.width": 8, "network.router.threshold": 0.3, "training.routing.gumbel": True}
    space = make(fields, fixed=fixed)
    drawn = [one for one in draws(space, n_draws=60) if "network.router.kind" in one]
    recipes = {one["network.router.kind"]: space.recipe(one) for one in drawn}
    sequential, trained = recipes["sequential"], recipes["gate"]
    assert sequential.network.router == SequentialRouter(routes=sequential.network.router.routes, threshold=0.3)
    assert sequential.training.routing is None
    assert (trained.network.router.width, trained.network.router.threshold) == (8, 0.3)
    assert trained.training.routing.gumbel


def test_fixed_manifold_mixup_is_at_the_inputs_of_a_dynamic_network():
    space = make(FIELDS, fixed={"training.mixup": 0.2, "training.mixup_at": "manifold"})
    assert space.recipe({"network.route": "v+s"}).training.mixup_at == "manifold"
    assert space.recipe({"network.route": "v > v+s"}).training.mixup_at == "inputs"


def test_a_space_may_draw_where_samples_are_mixed():
    where = {"choices": ["inputs", "manifold"]}
    space = make({**FIELDS, "training.mixup_at": where}, fixed={"training.mixup": 0.2})
    for route in ("v+s", "v > v+s"):
        assert space.recipe({"network.route": route, "training.mixup_at": "inputs"}).training.mixup_at == "inputs"
    assert space.recipe({"network.route": "v+s", "training.mixup_at": "manifold"}).training.mixup_at == "manifold"
    with pytest.raises(ConfigError, match=r"training\.mixup_at: manifold is not supported with a router"):
        space.recipe({"network.route": "v > v+s", "training.mixup_at": "manifold"})
    only_static = make({**FIELDS, "training.mixup_at": {**where, "when": {"network.route": {"dynamic": False}}}})
    drawn = draws(only_static, n_draws=40)
    assert {one.get("training.mixup_at") for one in drawn} == {None, "inputs", "manifold"}
    for one in drawn:
        only_static.recipe(one)


@pytest.mark.parametrize(
    ("depth", "placement", "routes"),
    [
        (3, 2, ("v", "v+s:1+i:1", "v+s+i")),
        (2, 1, ("v", "v+s+i")),  # fused after the first stage anyway
        (1, 2, ("v", "v+s+i")),
        (3, 0, ("v", "v+s+i")),
    ],
)
def test_equivalent_routes_are_merged(depth, placement, routes):
    space = make(
        {**FIELDS, "network.route": {"choices": ["v > v+s:1+i:1 > all"]}},
    )
    depths = {f"network.streams.{name}.depth": depth for name in "vsi"}
    recipe = space.recipe({"network.route": "v > v+s:1+i:1 > v+s+i", "network.fusion.placement": placement, **depths})
    assert recipe.network.router.routes == routes


def test_one_stream_may_be_left_early():
    space = make({"network.route": {"choices": ["each:1 > each"]}})
    assert space.parameters[0].distribution.choices == ("v:1 > v", "s:1 > s", "i:1 > i")
    network = space.recipe({"network.route": "s:1 > s"}).network
    assert (network.route, network.router.routes, network.fusion) == (("s",), ("s:1", "s"), None)


def test_defaults_apply_to_omitted_fields():
    space = make({"network.route": {"choices": ["v > v+s:1+i:1 > all", "v > v+s:2+i:2 > all"]}})
    routes = [
        space.recipe({"network.route": one}).network.router.routes for one in space.parameters[0].distribution.choices
    ]
    assert routes == [("v", "v+s:1+i:1", "v+s+i"), ("v", "v+s+i")]


def test_a_baseline_per_modality():
    baselines = {
        "cascade": {"network.route": "each > all"},
        "paper": {"network.route": "each > all", "network.router.reads": "inputs"},
        "late": {"network.route": "all"},
    }
    found = make(FIELDS, baselines=baselines).baselines
    assert list(found) == [f"{name}: {one}" for name in ("cascade", "paper") for one in "vsi"] + ["late"]
    assert found["paper: s"] == {
        "network.route": "s > v+s+i",
        **DEPTHS,
        "network.fusion.placement": 2,
        "network.router.reads": "inputs",
        "training.routing.freeze": True,
    }


def test_one_modality_has_no_dynamic_baselines():
    baselines = {"cascade": {"network.route": "each > all"}, "one": {"network.route": "each"}}
    assert list(make(FIELDS, modalities=[IMAGE], baselines=baselines).baselines) == ["one: i"]


def test_the_study_may_fix_a_dynamic_route():
    space = make(FIELDS, study={"network.route": "s+v > i+s+v"})
    assert "network.route" not in {one.name for one in space.parameters}
    assert space.recipe({}).network.router.routes == ("v+s", "v+s+i")


def test_fields_of_routers_may_stand_in_a_space_without_dynamic_routes():
    space = make({"network.route": ROUTES}, fixed={"network.router.width": 8, "training.routing.gumbel": True})
    assert space.recipe({"network.route": "v+s"}).network.router is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"network.route": {"choices": ["v > x"]}}, "the data has no modality 'x'; Known: i, s, v"),
        ({"network.route": {"choices": ["v > s:one"]}}, "a route is written stream+stream:stages, got 's:one'"),
        ({"network.router.routes": {"choices": ["v"]}}, "no recipe has a field network.router.routes"),
        ({"network.router.threshold": {"float": [0, 1.5]}}, "1.5 is not a value of this field; change the range"),
        ({"network.router.reads": {"choices": ["heads"]}}, "'heads' is not a value of this field"),
        (
            {
                "network.fusion.kind": {"choices": ["sum"]},
                "training.lr": {"choices": [1], "when": {"network.fusion.kind": {"dynamic": True}}},
            },
            "only network.route can be dynamic; give values of network.fusion.kind instead",
        ),
    ],
)
def test_mistakes(fields, expected):
    assert any(expected in problem for problem in problems(fields))


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_every_draw_builds(seed):
    space = make(FIELDS)
    for drawn in draws(space, n_draws=3, seed=seed):
        recipe = space.recipe(drawn)
        assert Recipe.parse(recipe.to_plain()) == recipe
        build_network(recipe.network, [VECTOR, SEQUENCE, IMAGE], Task("multiclass", 3))
