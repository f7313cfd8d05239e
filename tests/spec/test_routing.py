"""Routers in recipes: shorthands, stages, and every mistake with its key, its line and what to do."""

import pytest

from nasfuse.errors import ConfigError
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.routing import GateRouter, GuaranteeConfig, RoutingConfig, SequentialRouter

GOOD = """data: {source: digits}
network:
  route: [left, right]
  streams:
    left: {encoder: mlp, depth: 3}
    right: {encoder: mlp, depth: 1}
  fusion: {kind: concat, placement: 2}
  router:
    routes: [left, left + right]
training:
  routing:
    resource_weight: 0.1
"""
ROUTES = "routes: [left, left + right]"
ROUTING = "  routing:\n    resource_weight: 0.1\n"
ROUTER = f"  router:\n    {ROUTES}\n"


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return Recipe.load(path)

    return load


def problem_of(load, text):
    with pytest.raises(ConfigError, match="has 1 problem:") as caught:
        load(text)
    (problem,) = caught.value.problems
    return problem


def test_routes_are_written_in_one_way(load):
    assert load(GOOD).network.router.routes == ("left", "left+right")
    assert load(GOOD).hash == load(GOOD.replace("left + right", "left+right")).hash


def test_the_summary_names_routes_form_and_reads(load):
    assert load(GOOD).summary == (
        "left mlp 3x32 + right mlp 1x32 | concat at 2, width 32 | left > left+right by mlp on cheap route"
    )
    router = GateRouter(routes=("a", "b", "a+b"), reads="cheapest_stream", form="conv")
    assert router.summary == "a > b > a+b by conv on cheapest stream"


def test_defaults(load):
    recipe = load(GOOD)
    assert recipe.network.router == GateRouter(routes=("left", "left+right"))
    assert recipe.network.router.threshold == 0.5
    assert recipe.training.routing == RoutingConfig(resource_weight=0.1)
    assert recipe.training.routing.freeze
    assert recipe.training.routing.holdout == 0.15


def test_no_samples_are_held_out_if_routes_are_not_frozen(load):
    routing = load(GOOD.replace("resource_weight: 0.1", "freeze: false")).training.routing
    assert routing.holdout == 0.0
    assert RoutingConfig(freeze=False, holdout=0.0) == routing


def test_all_routes_in_a_step_are_no_part_of_the_hash(load):
    default, one = (
        load(GOOD.replace("resource_weight: 0.1", f"resource_weight: 0.1\n    routes_per_step: {value}"))
        for value in ("all", "one")
    )
    assert default.hash == load(GOOD).hash != one.hash


def test_one_route_in_a_step_needs_a_first_stage(load):
    text = GOOD.replace("resource_weight: 0.1", "routes_per_step: one\n    first_stage: 0\n    freeze: false")
    assert "routing.routes_per_step: it belongs to the first stage, and first_stage is 0" in str(problem_of(load, text))


def test_routes_and_router_may_be_trained_together_from_the_start(load):
    text = GOOD.replace("resource_weight: 0.1", "first_stage: 0\n    freeze: false")
    recipe = load(text.replace("  routing:", "  epochs: 1\n  routing:"))
    assert (recipe.training.epochs, recipe.training.routing.first_stage) == (1, 0.0)


@pytest.mark.parametrize("training", ["", "training: {epochs: 3}\n", "training:\n  routing:\n"])
def test_a_router_is_trained_by_default_as_routing_says(load, training):
    text = GOOD.replace(f"training:\n{ROUTING}", training)
    assert load(text).training.routing == RoutingConfig()
    assert Recipe.parse(load(text).to_plain()) == load(text)


def test_one_route_for_all_is_one_of_the_routes(load):
    text = GOOD.replace(ROUTES, f"{ROUTES}\n    always: left+right")
    assert load(text).network.router.always == "left+right"
    assert load(text).hash != load(GOOD).hash
    assert "network.router.always: must be one of the routes, got 'rigth'; Known: left, left+right" in str(
        problem_of(load, text.replace("always: left+right", "always: rigth"))
    )


def test_a_static_network_has_no_routing(load):
    plain = load(GOOD.replace(ROUTER, "").replace(f"training:\n{ROUTING}", "")).to_plain()
    assert "routing" not in plain["training"]
    assert "router" not in plain["network"]


def test_routing_needs_a_router(load):
    assert str(problem_of(load, GOOD.replace(ROUTER, ""))) == (
        "line 9: training.routing: it trains a router, and network.router is absent; remove one or add the other"
    )


def test_manifold_mixup_is_for_one_route(load):
    text = GOOD.replace(ROUTING, f"{ROUTING}  mixup: 0.2\n  mixup_at: manifold\n")
    assert str(problem_of(load, text)) == (
        "line 14: training.mixup_at: manifold is not supported with a router, because a route may leave a stream "
        "before the depth at which it is mixed; set it to inputs, or remove network.router"
    )
    assert load(text.replace("mixup: 0.2", "mixup: 0")).training.mixup_at == "manifold"
    assert load(text.replace("manifold", "inputs")).training.mixup == 0.2


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        (ROUTES, "routes: [left+right]", "network.router.routes", "a router needs at least two routes to choose from"),
        (ROUTES, "routes: []", "network.router.routes", "at least two routes to choose from, got 0; add more"),
        (ROUTES, "routes: left", "network.router.routes", "must be a list, got 'left'"),
        (ROUTES, "routes: [left, left]", "network.router.routes", "route left is given twice; give each route once"),
        (
            ROUTES,
            "routes: [right + left, 'right+ left', left]",
            "network.router.routes",
            "route right+left is given twice; give each route once",
        ),
        (
            ROUTES,
            "routes: [left, 'left+']",
            "network.router.routes",
            "a route is written stream+stream:stages, got 'left+'; correct it",
        ),
        (
            ROUTES,
            "routes: [right, left+left]",
            "network.router.routes",
            "route 'left+left' names left twice; name each stream once",
        ),
        (ROUTES, "reads: inputs", "network.router.routes", "this key is required; add it"),
        (ROUTES, f"{ROUTES}\n    widht: 3", "network.router.widht", "unknown key; did you mean 'width'?"),
        (
            ROUTES,
            f"{ROUTES}\n    threshold: 1.5",
            "network.router.threshold",
            "must be at most 1, got 1.5",
        ),
        (
            ROUTES,
            f"{ROUTES}\n    threshold: -0.1",
            "network.router.threshold",
            "must be at least 0, got -0.1",
        ),
        (ROUTES, f"{ROUTES}\n    macs: 0", "network.router.macs", "must be at least 1, got 0"),
        (ROUTES, f"{ROUTES}\n    width: 0", "network.router.width", "must be at least 1, got 0"),
        (
            ROUTES,
            f"{ROUTES}\n    reads: input",
            "network.router.reads",
            "'input' is not known; did you mean 'inputs'? Known: cheap_route, cheapest_stream, inputs",
        ),
        (
            ROUTES,
            f"{ROUTES}\n    form: mpl",
            "network.router.form",
            "'mpl' is not known; did you mean 'mlp'? Known: conv, linear, mlp, transformer",
        ),
        (
            "resource_weight: 0.1",
            "resource_weight: -1",
            "training.routing.resource_weight",
            "at least 0",
        ),
        ("resource_weight: 0.1", "budget: 0", "training.routing.budget", "must be greater than 0, got 0"),
        ("resource_weight: 0.1", "budget: 1.1", "training.routing.budget", "must be at most 1, got 1.1"),
        ("resource_weight: 0.1", "temperature: 0", "training.routing.temperature", "must be greater than 0, got 0"),
        ("resource_weight: 0.1", "final_temperature: 0", "training.routing.final_temperature", "greater than 0, got 0"),
        ("resource_weight: 0.1", "first_stage: 1", "training.routing.first_stage", "must be less than 1, got 1"),
        (
            "resource_weight: 0.1",
            "first_stage: 0",
            "training.routing.first_stage",
            "must be above 0 with freeze: true, or routes are never trained; raise it",
        ),
        (
            ROUTING,
            f"  epochs: 1\n{ROUTING}",
            "training.epochs",
            "must be at least 2: the router is trained after its routes; raise it",
        ),
        ("resource_weight: 0.1", "resource_wieght: 1", "training.routing.resource_wieght", "mean 'resource_weight'?"),
        ("resource_weight: 0.1", "holdout: 0.6", "training.routing.holdout", "at most 0.5, got 0.6"),
        (
            "resource_weight: 0.1",
            "freeze: false\n    holdout: 0.1",
            "training.routing.holdout",
            "needs freeze: true, because otherwise routes are trained on the held-out samples; set it to 0",
        ),
        ("resource_weight: 0.1", "gumbel: 1", "training.routing.gumbel", "must be true or false, got 1"),
    ],
)
def test_messages_name_the_key(load, old, new, where, what):
    problem = problem_of(load, GOOD.replace(old, new))
    assert problem.where == where
    assert what in problem.what
    assert problem.line is not None


@pytest.mark.parametrize(
    ("routes", "what"),
    [
        ("[left, left+up]", "left+up names stream 'up'; Known: left, right"),
        ("[left, left+rigth]", "left+rigth names stream 'rigth'; did you mean 'right'? Known: left, right"),
        ("[left:3+right, right]", "left:3+right runs 3 stages of left, which has 2 before the fusion; use at most 2"),
        ("[left, left+right:2]", "left+right:2 runs 2 stages of right, which has 1 before the fusion; use at most 1"),
        ("[left:2+right, left+right]", "left+right is the same route as left:2+right; remove one"),
        ("[right, left, 'right:1']", "right:1 is the same route as right; remove one"),
        ("[left, 'left:1']", "no route runs right; add such a route, or remove the stream from route"),
    ],
)
def test_routes_must_fit_the_streams(load, routes, what):
    problem = problem_of(load, GOOD.replace(ROUTES, f"routes: {routes}"))
    assert str(problem) == f"line 9: network.router.routes: {what}"


@pytest.mark.parametrize("form", ["conv", "transformer"])
def test_a_router_on_the_cheap_route_gets_one_vector(load, form):
    problem = problem_of(load, GOOD.replace(ROUTES, f"{ROUTES}\n    form: {form}"))
    assert (problem.where, problem.line) == ("network.router.form", 10)
    assert problem.what == (
        f"a router that reads cheap_route has one vector as its input, which {form} cannot process; "
        "choose linear or mlp"
    )
    for reads in ("inputs", "cheapest_stream"):
        assert load(GOOD.replace(ROUTES, f"{ROUTES}\n    form: {form}\n    reads: {reads}")).network.router.form == form


@pytest.mark.parametrize(
    ("route", "stages"),
    [
        ({"left": None}, {"left": 3}),  # alone, a stream runs to its end
        ({"left": None, "right": None}, {"left": 2, "right": 1}),
        ({"right": 0, "left": 1}, {"left": 1, "right": 0}),
        ({"left": 0}, {"left": 0}),
    ],
)
def test_stages_of_a_route(load, route, stages):
    found = load(GOOD).network.stages(route)
    assert found == stages
    assert list(found) == list(stages), "in the order of the network"


@pytest.mark.parametrize(
    ("routes", "depths"),
    [
        ("[left, left + right]", {"left": 3, "right": 1}),
        ("['left:1', left + right]", {"left": 2, "right": 1}),
        ("['right:0', 'left:1 + right:0']", {"left": 1, "right": 0}),
    ],
)
def test_as_many_stages_are_built_as_a_route_runs(load, routes, depths):
    network = load(GOOD.replace("[left, left + right]", routes)).network
    assert network.depths == depths
    static = NetworkConfig.parse({key: value for key, value in network.to_plain().items() if key != "router"})
    assert static.depths == {"left": 2, "right": 1}


def test_one_stream_may_stop_early():
    plain = {
        "route": ["a"],
        "streams": {"a": {"encoder": "mlp", "depth": 2}},
        "router": {"routes": ["a:0", "a:1", "a"]},
    }
    network = NetworkConfig.parse(plain)
    assert network.stages({"a": None}) == {"a": 2}
    assert NetworkConfig.parse(network.to_plain()) == network
    plain["router"]["routes"] = ["a:3", "a"]
    with pytest.raises(ConfigError, match=r"a:3 runs 3 stages of a, which has 2; use at most 2"):
        NetworkConfig.parse(plain)


SEQUENTIAL = GOOD.replace(ROUTER, f"{ROUTER}    kind: sequential\n").replace(f"training:\n{ROUTING}", "")


def test_a_sequential_router_is_not_trained(load):
    recipe = load(SEQUENTIAL)
    assert recipe.network.router == SequentialRouter(routes=("left", "left+right"))
    assert recipe.training.routing is None
    assert recipe.summary.endswith("| left > left+right by confidence")
    assert Recipe.parse(recipe.to_plain()) == recipe
    problem = problem_of(load, f"{SEQUENTIAL}training:\n{ROUTING}")
    assert (problem.where, problem.what) == ("training.routing", "a sequential router is not trained; remove it")


@pytest.mark.parametrize(
    ("routes", "what"),
    [
        ("[left, right]", "right does not extend left"),
        ("[left + right, left]", "left does not extend left+right"),
        ("[left:2 + right, left:1 + right:1]", "left:1+right:1 does not extend left:2+right"),
    ],
)
def test_routes_of_a_sequential_router_extend_one_another(load, routes, what):
    problem = problem_of(load, SEQUENTIAL.replace(ROUTES, f"routes: {routes}"))
    assert str(problem) == (
        f"line 9: network.router.routes: {what}: each route of a sequential router has all streams of the one before "
        "and at least as many stages of each; reorder or change the routes"
    )


@pytest.mark.parametrize("kind", ["gate", "sequential"])
def test_a_threshold_may_be_a_guarantee(load, kind):
    text = SEQUENTIAL.replace("kind: sequential", f"kind: {kind}\n    threshold: {{max_loss: 0.01}}")
    router = load(text).network.router
    assert router.threshold == GuaranteeConfig(max_loss=0.01, confidence=0.9)
    assert router.initial_threshold == 0.0


@pytest.mark.parametrize(
    ("option", "where", "what"),
    [
        ("reads: inputs", "reads", "unknown key; Known: always, kind, macs, routes, threshold"),
        ("threshold: {max_loss: 0}", "threshold.max_loss", "must be greater than 0, got 0"),
        ("threshold: {max_loss: 0.1, confidence: 1}", "threshold.confidence", "must be less than 1, got 1"),
    ],
)
def test_every_mistake_of_a_sequential_router_is_one_sentence(load, option, where, what):
    problem = problem_of(load, SEQUENTIAL.replace("kind: sequential", f"kind: sequential\n    {option}"))
    assert problem.where == f"network.router.{where}"
    assert what in problem.what


def test_an_unknown_kind_lists_the_known(load):
    problem = problem_of(load, SEQUENTIAL.replace("kind: sequential", "kind: cascade"))
    assert (problem.where, problem.what) == ("network.router.kind", "'cascade' is not known; Known: gate, sequential")


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ([3], r"routes\[0\]: must be text, got 3"),
        (["left", 3], r"routes\[1\]: must be text, got 3"),
        (3, "routes: must be a list, got 3"),
    ],
)
def test_a_number_in_place_of_a_route(routes, problem):
    with pytest.raises(ConfigError, match=problem):
        SequentialRouter.parse({"kind": "sequential", "routes": routes})
