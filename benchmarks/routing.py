"""Does a router earn its keep? Its curve beside static networks, a random mix, a confidence cascade and the oracle.

For each seed: the routed recipe is trained, and the static network of its costliest and of its cheapest route, with
the same number of epochs. Thresholds are set on validation data: for the cheapest route's MACs plus a share of what the
costliest one adds (+0.10 ...), and for 53.5 % of the costliest route's MACs, the paper's headline. Everything is then
evaluated on validation and, once, on test. The random mix and the cascade are given the MACs that the router really
spent on that split, router included, so every row compares at equal cost.

    python benchmarks/routing.py benchmarks/recipes/avdigits_routed.yaml --seeds 5
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasfuse.cost import expected_macs
from nasfuse.data import Dataset, Split, load_dataset
from nasfuse.domain.route import parse_route
from nasfuse.nn import RoutedNetwork
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, tabulate_routes, train_network
from nasfuse.train.route_controls import confidence_cascade, oracle, random_mix, static_routes

CPU = torch.device("cpu")
CASCADE_POINTS = 101

#: Share of the full network's MACs that is left after the paper's headline saving of 46.5 %.
PAPER = 0.535


def static_recipe(recipe: Recipe, route: str) -> Recipe:
    """Returns the recipe of the static network that always takes `route`."""
    plain = recipe.to_plain()
    names = list(parse_route(route))
    network = plain["network"]
    network.pop("router")
    plain["training"].pop("routing")
    network["route"] = names
    network["streams"] = {name: network["streams"][name] for name in names}
    if len(names) == 1:
        network.pop("fusion")
    return Recipe.parse(plain)


def on_split(
    network: RoutedNetwork, split: Split, dataset: Dataset, metric: str, thresholds: dict[str, float], seed: int
) -> dict[str, Any]:
    """Returns the router's curve and its controls on one split."""
    table = tabulate_routes(network, split, dataset, metric=metric, device=CPU)
    cascade = confidence_cascade(table, network, split, dataset, n_points=CASCADE_POINTS)
    rows = []
    for share, threshold in thresholds.items():
        routed = table.at(threshold)
        mixed, deviation = random_mix(table, routed.macs, seed=seed)
        sure = float(np.interp(routed.macs, *zip(*cascade, strict=True))) if cascade else float("nan")
        rows.append(
            {
                "share": share,
                "macs": routed.macs,
                "router": routed.metric,
                "random mix": mixed,
                "random mix sd": deviation,
                "cascade": sure,
                "usage": routed.usage,
            }
        )
    return {"rows": rows, "static routes": static_routes(table), "oracle": oracle(table)}


def one_seed(recipe: Recipe, seed: int, shares: list[float]) -> dict[str, Any]:
    """Returns everything measured with one seed."""
    dataset = load_dataset(recipe.data, division=seed)
    trained = train_network(recipe, dataset, seed=seed, device=CPU)
    network = trained.network
    assert isinstance(network, RoutedNetwork)
    val = tabulate_routes(network, dataset.val, dataset, metric=recipe.metric, device=CPU)
    ends = val.static_macs.double().mean(dim=0)
    cheap, full = float(ends[0]), float(ends[-1])
    budgets = {f"+{share:.2f}": cheap + share * (full - cheap) for share in shares}
    budgets[f"{PAPER:.3f}"] = PAPER * full
    thresholds = {name: val.threshold_for(macs) for name, macs in budgets.items()}
    result: dict[str, Any] = {"seed": seed, "routes": network.route_names, "routing": val.record(val.at(0.5))}
    for name in ("val", "test"):
        result[name] = on_split(network, dataset.split(name), dataset, recipe.metric, thresholds, seed)
    for route in (network.route_names[0], network.route_names[-1]):
        static = train_network(static_recipe(recipe, route), dataset, seed=seed, device=CPU).network
        scores = {
            name: evaluate(static, dataset.split(name), metric=recipe.metric, task=dataset.task, device=CPU)[0]
            for name in ("val", "test")
        }
        result[f"static {route}"] = {"macs": expected_macs(static, dataset), **scores}
    return result


def spread(values: list[float], digits: int = 4) -> str:
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
    points = [r[split]["oracle"] for r in results]
    print(f"  {'oracle':<28} {statistics.fmean(p[0] for p in points):>10,.0f} MACs  {spread([p[1] for p in points])}")
    print("  share      MACs  router          random mix      cascade         router - mix    router - cascade")
    for number, row in enumerate(results[0][split]["rows"]):
        rows = [r[split]["rows"][number] for r in results]
        values = {key: [one[key] for one in rows] for key in ("router", "random mix", "cascade")}
        gain = [a - b for a, b in zip(values["router"], values["random mix"], strict=True)]
        level = [a - b for a, b in zip(values["router"], values["cascade"], strict=True)]
        macs = statistics.fmean(one["macs"] for one in rows)
        columns = "  ".join(spread(column) for column in (*values.values(), gain, level))
        print(f"  {row['share']:>5} {macs:>9,.0f}  {columns}")


def main() -> None:
    """Trains, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    parser.add_argument("--output", type=Path, help="JSON file for everything measured")
    parser.add_argument("--val-only", action="store_true", help="do not print test, while a recipe is being chosen")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe.load(options.recipe)
    print(recipe.summary)
    results = []
    for seed in range(options.seeds):
        results.append(one_seed(recipe, seed, options.shares))
        print(f"seed {seed} done; router at 0.5: {results[-1]['routing']}", flush=True)
    for split in ("val",) if options.val_only else ("val", "test"):
        report(results, split)
    if options.output is not None:
        options.output.write_text(json.dumps({"recipe": recipe.to_plain(), "seeds": results}, indent=1))


if __name__ == "__main__":
    main()
