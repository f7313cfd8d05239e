"""Comparison of a router with static networks, a random mix of routes, confidence cascades and an oracle.

For each seed, all networks are trained with the same number of epochs: the routed recipe, the static networks of its
costliest route (twice, with two seeds) and of its cheapest route, and for a sequential router a network with a learned
router between these two routes. Thresholds are set on validation data: for the MACs of the cheapest route plus a share
of those that the costliest one adds (+0.10 ...), and for 53.5 % of the MACs of the costliest route, the saving that the
paper reports. All networks are then evaluated on validation data and, once, on test. The other rules are evaluated at
the mean MACs of the router on that split, including everything that runs for its choice, so that each row compares
results at equal cost:

- random mix: a random choice between two routes
- cascade: the confidence of the cheapest route decides whether the costliest one runs
- best cascade: the same with the second route that is best on validation data
- learned router, and the cascade of that network: both trained with two routes only
- learned gain: at every exit of a sequential network, a model of what going on gains (`learned_gain.py`), which reads
  the outputs of the exit and statistics of the other modalities; "gain of outputs" reads the outputs only

Tables of label maps have no outputs, and so neither the models of the gain nor the clairvoyant.

The oracle knows the targets, the clairvoyant rule only the predictions of the costliest route. The oracle of two seeds
chooses between two trainings of the same static network, whose differences are random, as a reference for the oracle.

    python benchmarks/routing.py                       # all figures: every recipe of `ALL` with its seeds
    python benchmarks/routing.py benchmarks/recipes/hapt_sequential.yaml --seeds 5

Results of every seed are written to a folder, and seeds that are there are not run again, so that the same command
continues after an interruption.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learned_gain import gain_curve

from nasfuse.cost import expected_macs
from nasfuse.data import Dataset, Split, load_dataset
from nasfuse.domain.route import parse_route
from nasfuse.nn import RoutedNetwork
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks import task_kind
from nasfuse.train import evaluate, predict_digests, tabulate_routes, train_network
from nasfuse.train.metrics import score
from nasfuse.train.router_baselines import clairvoyant, confidence_cascade, oracle, random_mix, static_routes

CPU = torch.device("cpu")
CASCADE_POINTS = 101

#: Share of the MACs of the full network for the saving of 46.5 % in the paper.
PAPER = 0.535

#: Rules that the router is compared with at equal cost.
RULES = (
    "random mix",
    "cascade",
    "best cascade",
    "learned router",
    "two-route cascade",
    "learned gain",
    "gain of outputs",
)

#: Recipes of the tables in `README.md`, with their numbers of seeds.
ALL = {
    "avdigits_routed": 5,
    "avmnist_rc_routed": 3,
    "avmnist_rc_sequential": 5,
    "avdigits_sequential": 5,
    "hapt_sequential": 5,
}

#: Shares over which the gain is averaged.
AVERAGED = ("+0.10", "+0.20", "+0.30", "+0.40", "+0.50")

#: Distance of the two seeds of one static network.
OTHER_SEED = 1000

Curve = Sequence[tuple[float, float]]


def static_recipe(recipe: Recipe, route: str) -> Recipe:
    """Returns the recipe of the static network that always takes `route`."""
    plain = recipe.to_plain()
    names = list(parse_route(route))
    network = plain["network"]
    network.pop("router")
    plain["training"].pop("routing", None)
    network["route"] = names
    network["streams"] = {name: network["streams"][name] for name in names}
    if len(names) == 1:
        network.pop("fusion")
    return Recipe.parse(plain)


def gated_recipe(recipe: Recipe) -> Recipe:
    """Returns the recipe with a learned router between the cheapest and the costliest route."""
    plain = recipe.to_plain()
    routes = plain["network"]["router"]["routes"]
    plain["network"]["router"] = {"kind": "gate", "routes": [routes[0], routes[-1]]}
    return Recipe.parse(plain)


def value_at(curve: Curve, macs: float) -> float:
    """Returns the metric of a curve at a cost, linear between its points; NaN where it has none or ends below."""
    if not curve or macs > curve[-1][0] + 1:
        return float("nan")
    return float(np.interp(macs, *zip(*curve, strict=True)))


def cascades(network: RoutedNetwork, split: Split, dataset: Dataset, metric: str) -> list[Curve]:
    """Returns the curves of the cascades from the cheapest route to each of the others."""
    table = tabulate_routes(network, split, dataset, metric=metric, device=CPU)
    return [
        confidence_cascade(table, network, split, dataset, n_points=CASCADE_POINTS, upper=upper)
        for upper in range(1, len(network.branches))
    ]


def on_split(
    network: RoutedNetwork,
    gated: RoutedNetwork | None,
    split: Split,
    dataset: Dataset,
    metric: str,
    thresholds: dict[str, float],
    seed: int,
) -> dict[str, Any]:
    """Returns the router's curve and its controls on one split."""
    table = tabulate_routes(network, split, dataset, metric=metric, device=CPU)
    own = cascades(network, split, dataset, metric)
    on_val = cascades(network, dataset.val, dataset, metric)
    other = None if gated is None else tabulate_routes(gated, split, dataset, metric=metric, device=CPU)
    two_route = [] if gated is None else cascades(gated, split, dataset, metric)[0]
    gains: dict[str, Curve] = {"learned gain": [], "gain of outputs": []}
    keeps_outputs = task_kind(dataset.task.kind).keeps_outputs
    if isinstance(network, SequentialNetwork) and keeps_outputs:
        val = tabulate_routes(network, dataset.val, dataset, metric=metric, device=CPU)
        for name in gains:
            is_with = name == "learned gain"
            gains[name] = gain_curve(table, split, on_val=val, val=dataset.val, uses_statistics=is_with)
    learned = [] if other is None else [(one.macs, one.metric) for one in other.even_curve(CASCADE_POINTS)]
    rows = []
    for share, threshold in thresholds.items():
        routed = table.at(threshold)
        mixed, deviation = random_mix(table, routed.macs, seed=seed)
        best = max(range(len(own)), key=lambda upper: np.nan_to_num(value_at(on_val[upper], routed.macs), nan=-np.inf))
        rows.append(
            {
                "share": share,
                "macs": routed.macs,
                "router": routed.metric,
                "random mix": mixed,
                "random mix sd": deviation,
                "cascade": value_at(own[-1], routed.macs),
                "best cascade": value_at(own[best], routed.macs),
                "learned router": value_at(learned, routed.macs),
                "two-route cascade": value_at(two_route, routed.macs),
                **{name: value_at(curve, routed.macs) for name, curve in gains.items()},
                "usage": routed.usage,
            }
        )
    return {
        "rows": rows,
        "static routes": static_routes(table),
        "oracle": oracle(table),
        **({"clairvoyant": clairvoyant(table)} if keeps_outputs else {}),
    }


def static_networks(recipe: Recipe, routes: Sequence[str], dataset: Dataset, seed: int) -> dict[str, Any]:
    """Returns cost and metrics of the static networks of the cheapest and of the costliest route, and their oracle."""
    result: dict[str, Any] = {}
    for route in (routes[0], routes[-1]):
        network = train_network(static_recipe(recipe, route), dataset, seed=seed, device=CPU).network
        scores = {
            name: evaluate(network, dataset.split(name), metric=recipe.metric, task=dataset.task, device=CPU)[0]
            for name in ("val", "test")
        }
        result[f"static {route}"] = {"macs": expected_macs(network, dataset), **scores}
    second = train_network(static_recipe(recipe, routes[-1]), dataset, seed=seed + OTHER_SEED, device=CPU).network
    lucky = {}
    for name in ("val", "test"):
        split = dataset.split(name)
        kind = dataset.task.kind
        digests = [predict_digests(one, split, task=kind, device=CPU) for one in (network, second)]
        both = torch.stack(digests, dim=1)
        best = task_kind(kind).errors(both, split.targets).argmin(dim=1)
        chosen = both[torch.arange(len(best)), best]
        lucky[name] = score(recipe.metric, chosen, split.targets, task=kind, target_scale=split.target_scale)
    result["static oracle of two seeds"] = {"macs": result[f"static {routes[-1]}"]["macs"], **lucky}
    return result


def one_seed(recipe: Recipe, seed: int, shares: list[float], *, routed_only: bool) -> dict[str, Any]:
    """Returns all results of one seed."""
    dataset = load_dataset(recipe.data, division=seed)
    network = train_network(recipe, dataset, seed=seed, device=CPU).network
    assert isinstance(network, RoutedNetwork)
    assert recipe.network.router is not None
    gated = None
    if recipe.network.router.kind == "sequential" and not routed_only:
        gated = train_network(gated_recipe(recipe), dataset, seed=seed, device=CPU).network
        assert isinstance(gated, RoutedNetwork)
    val = tabulate_routes(network, dataset.val, dataset, metric=recipe.metric, device=CPU)
    ends = val.static_macs.double().mean(dim=0)
    cheap, full = float(ends[0]), float(ends[-1])
    budgets = {f"+{share:.2f}": cheap + share * (full - cheap) for share in shares}
    budgets[f"{PAPER:.3f}"] = PAPER * full
    thresholds = {name: val.threshold_for(macs) for name, macs in budgets.items()}
    result: dict[str, Any] = {"seed": seed, "routes": network.route_names, "routing": val.record(val.at(0.5))}
    for name in ("val", "test"):
        result[name] = on_split(network, gated, dataset.split(name), dataset, recipe.metric, thresholds, seed)
    if not routed_only:
        result |= static_networks(recipe, network.route_names, dataset, seed)
    return result


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Returns mean +- sd."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f}+-{deviation:.{digits}f}"


def report(results: list[dict[str, Any]], split: str) -> None:
    """Prints means and standard deviations over the seeds."""
    print(f"\n{split}, {len(results)} seeds, mean +- sd")
    for key in (key for key in results[0] if key.startswith("static ")):
        macs = statistics.fmean(r[key]["macs"] for r in results)
        print(f"  {key:<28} {macs:>10,.0f} MACs  {spread([r[key][split] for r in results])}")
    for number, route in enumerate(results[0]["routes"]):
        points = [r[split]["static routes"][number] for r in results]
        macs = statistics.fmean(point[0] for point in points)
        print(f"  {'always ' + route:<28} {macs:>10,.0f} MACs  {spread([point[1] for point in points])}")
    for name in (name for name in ("oracle", "clairvoyant") if name in results[0][split]):
        points = [r[split][name] for r in results]
        macs = statistics.fmean(point[0] for point in points)
        print(f"  {name:<28} {macs:>10,.0f} MACs  {spread([point[1] for point in points])}")
    rules = [rule for rule in RULES if not np.isnan(results[0][split]["rows"][0][rule])]
    print(f"  share      MACs  {'router':<16}" + "".join(f"{rule:<20}" for rule in rules) + "router minus each, points")
    for number, row in enumerate(results[0][split]["rows"]):
        rows = [r[split]["rows"][number] for r in results]
        macs = statistics.fmean(one["macs"] for one in rows)
        columns = [f"{spread([one[rule] for one in rows]):<20}" for rule in rules]
        gains = [spread([100 * (one["router"] - one[rule]) for one in rows], 2) for rule in rules]
        own = spread([one["router"] for one in rows])
        print(f"  {row['share']:>5} {macs:>9,.0f}  {own:<16}{''.join(columns)}{'  '.join(gains)}")
    for rule in rules:
        means = [
            statistics.fmean(100 * (one["router"] - one[rule]) for one in r[split]["rows"] if one["share"] in AVERAGED)
            for r in results
        ]
        print(f"  router minus {rule}, mean over {AVERAGED[0]} to {AVERAGED[-1]}: {spread(means, 2)} points")


def run(path: Path, n_seeds: int, options: argparse.Namespace) -> None:
    """Runs the seeds of a recipe that are not in its file yet, and prints its tables."""
    recipe = Recipe.load(path)
    print(f"\n{path.stem}: {recipe.summary}")
    file = options.output / f"{path.stem}{'_routed_only' if options.routed_only else ''}.json"
    results: list[dict[str, Any]] = []
    if file.is_file():
        stored = json.loads(file.read_text())
        results = stored["seeds"] if stored["recipe_hash"] == recipe.hash else []
    for seed in range(len(results), n_seeds):
        results.append(one_seed(recipe, seed, options.shares, routed_only=options.routed_only))
        print(f"seed {seed} done; router at 0.5: {results[-1]['routing']}", flush=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"recipe_hash": recipe.hash, "seeds": results}, indent=1))
    for split in ("val",) if options.val_only else ("val", "test"):
        report(results[:n_seeds], split)


def main() -> None:
    """Trains, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, nargs="*", help=f"default: {', '.join(ALL)}")
    parser.add_argument("--seeds", type=int, help="default: as in the tables, or 3")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    parser.add_argument("--output", type=Path, default=Path("runs/routing"), help="folder of the results")
    parser.add_argument(
        "--val-only", action="store_true", help="do not print test results, while a recipe is being chosen"
    )
    parser.add_argument("--routed-only", action="store_true", help="train no static networks and no learned router")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipes = options.recipes or [Path(__file__).parent / "recipes" / f"{name}.yaml" for name in ALL]
    for path in recipes:
        run(path, options.seeds or ALL.get(path.stem, 3), options)


if __name__ == "__main__":
    main()
