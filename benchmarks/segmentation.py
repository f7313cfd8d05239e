"""Segmentation of MFNet: a network that decides how deep its second stream runs, beside static networks.

For each seed, these are trained with the same number of epochs: networks of each stream alone, static networks whose
other stream takes part in one to all of the sites, and the network with a router. The threshold of the router is set on
validation data, for at most 79 % of the MACs of the static network with all sites. Beside it stand, at the MACs that
it spends on the split, a random mix of its routes and the confidence rule (the mean confidence of the pixels of the
cheapest route decides whether the costliest one runs), each of its routes alone, and the oracle.

    python benchmarks/segmentation.py --seeds 3                       # all figures, about two hours on one core
    python benchmarks/segmentation.py --seeds 1 --val-only            # while a recipe is being chosen

Results of every training are written to a folder, and trainings that are there are not run again.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasfuse.cost import expected_macs
from nasfuse.data import Dataset, load_dataset
from nasfuse.nn import RoutedNetwork
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, tabulate_routes, train_network
from nasfuse.train.router_baselines import confidence_cascade, oracle, random_mix, static_routes

CPU = torch.device("cpu")

#: Share of the MACs of the static network with all sites that the router may spend.
SHARE = 0.79

RECIPE = Path(__file__).parent / "recipes" / "mfnet_routed.yaml"


def static_recipes(recipe: Recipe, sites: Sequence[int]) -> dict[str, Recipe]:
    """Returns static recipes by name: each stream of a routed one alone, then its fusion at the first sites."""
    plain = recipe.to_plain()
    network = plain["network"]
    network.pop("router", None)
    plain["training"].pop("routing", None)
    alone = {"route": [], "streams": {}, "fusion": None}
    found = {}
    for name, stream in network["streams"].items():
        own = {key: value for key, value in network.items() if key not in alone}
        found[f"{name} alone"] = {**plain, "network": {**own, "route": [name], "streams": {name: stream}}}
    for n_sites in sites:
        fusion = network["fusion"] | {"n_sites": n_sites, "position": "first"}
        found[f"{n_sites} sites"] = {**plain, "network": {**network, "fusion": fusion}}
    return {name: Recipe.parse(one) for name, one in found.items()}


def static_result(recipe: Recipe, dataset: Dataset, seed: int) -> dict[str, Any]:
    """Returns cost and metrics of a static network."""
    started = time.perf_counter()
    trained = train_network(recipe, dataset, seed=seed, device=CPU)
    scores = {
        name: evaluate(trained.network, dataset.split(name), metric=recipe.metric, task=dataset.task, device=CPU)[0]
        for name in ("val", "test")
    }
    wall = time.perf_counter() - started
    return {"macs": expected_macs(trained.network, dataset), **scores, "epochs": len(trained.curve), "wall_s": wall}


def routed_result(recipe: Recipe, dataset: Dataset, seed: int, limit: float, groups: dict[str, Any]) -> dict[str, Any]:
    """Returns what a routed network and its controls do on val and test at the threshold for `limit` MACs on val."""
    started = time.perf_counter()
    network = train_network(recipe, dataset, seed=seed, device=CPU).network
    assert isinstance(network, RoutedNetwork)
    tables = {
        name: tabulate_routes(network, dataset.split(name), dataset, metric=recipe.metric, device=CPU)
        for name in ("val", "test")
    }
    threshold = tables["val"].threshold_for(limit)
    found: dict[str, Any] = {"routes": network.route_names, "threshold": threshold}
    for name, table in tables.items():
        routed = table.at(threshold)
        cascade = confidence_cascade(table, network, dataset.split(name), dataset, n_points=51)
        chosen = table.chosen(threshold)
        found[name] = {
            "macs": routed.macs,
            "router": routed.metric,
            "usage": routed.usage,
            "usage by group": {
                label: torch.bincount(chosen[torch.from_numpy(rows)], minlength=len(table.names)).tolist()
                for label, rows in groups[name].items()
            },
            "random mix": random_mix(table, routed.macs, seed=seed)[0],
            "confidence rule": float(np.interp(routed.macs, *zip(*cascade, strict=True))),
            "always": static_routes(table),
            "oracle": oracle(table),
            "curve": [(one.macs, one.metric) for one in table.even_curve(11)],
        }
    return {**found, "wall_s": time.perf_counter() - started}


def day_and_night(dataset: Dataset, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Returns split to `day` and `night` to the rows of the split."""
    from nasfuse.data.sources.registry import data_file

    file = data_file(recipe.data)
    assert file is not None
    with np.load(file) as arrays:
        day, split = arrays["day"], arrays["split"]
    return {
        name: {"day": np.flatnonzero(day[split == name]), "night": np.flatnonzero(~day[split == name])}
        for name in ("val", "test")
    }


def spread(values: Sequence[float]) -> str:
    """Returns mean +- sd."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.4f}+-{deviation:.4f}"


def main() -> None:
    """Trains what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?", default=RECIPE)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sites", type=int, nargs="+", help="numbers of sites of the static networks; default: all")
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    parser.add_argument("--no-router", action="store_true", help="train static networks only")
    parser.add_argument("--output", type=Path, default=Path("runs/segmentation"))
    parser.add_argument("--val-only", action="store_true", help="do not print test results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe.load(options.recipe)
    if options.epochs is not None:
        plain = recipe.to_plain()
        plain["training"]["epochs"] = options.epochs
        recipe = Recipe.parse(plain)
    dataset = load_dataset(recipe.data)
    groups = day_and_night(dataset, recipe)
    depth = max(stream.depth for stream in recipe.network.streams.values())
    plain_recipes = static_recipes(recipe, options.sites or range(1, depth + 2))
    all_sites = list(plain_recipes)[-1]

    def kept(name: str, one: Recipe, seed: int, make: Any) -> dict[str, Any]:
        file = options.output / one.hash / f"{name}-seed{seed}.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(make()))
            print(f"seed {seed}: {name} done", flush=True)
        return json.loads(file.read_text())

    static: dict[str, list[dict[str, Any]]] = {name: [] for name in plain_recipes}
    routed: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        for name, one in plain_recipes.items():
            static[name].append(kept(name, one, seed, lambda one=one, seed=seed: static_result(one, dataset, seed)))
        if not options.no_router:
            limit = SHARE * static[all_sites][seed]["macs"]
            routed.append(
                kept(
                    "router",
                    recipe,
                    seed,
                    lambda seed=seed, limit=limit: routed_result(recipe, dataset, seed, limit, groups),
                )
            )
    for split in ("val",) if options.val_only else ("val", "test"):
        print(f"\n{split}, {options.seeds} seeds, mean +- sd of {recipe.metric}; {recipe.training.epochs} epochs")
        full = statistics.fmean(one["macs"] for one in static[all_sites])
        for name, results in static.items():
            macs = statistics.fmean(one["macs"] for one in results)
            print(f"  {name:<24} {macs:>12,.0f} MACs {macs / full:6.1%}  {spread([one[split] for one in results])}")
        if not routed:
            continue
        rows = [one[split] for one in routed]
        macs = statistics.fmean(row["macs"] for row in rows)
        for rule in ("router", "random mix", "confidence rule"):
            print(f"  {rule:<24} {macs:>12,.0f} MACs {macs / full:6.1%}  {spread([row[rule] for row in rows])}")
        macs = statistics.fmean(row["oracle"][0] for row in rows)
        print(f"  {'oracle':<24} {macs:>12,.0f} MACs {macs / full:6.1%}  {spread([row['oracle'][1] for row in rows])}")
        for number, route in enumerate(routed[0]["routes"]):
            macs = statistics.fmean(row["always"][number][0] for row in rows)
            values = spread([row["always"][number][1] for row in rows])
            print(f"  {'always ' + route:<24} {macs:>12,.0f} MACs {macs / full:6.1%}  {values}")
        for label in ("day", "night"):
            counts = np.sum([row["usage by group"][label] for row in rows], axis=0)
            shares = dict(zip(routed[0]["routes"], (counts / counts.sum()).round(2).tolist(), strict=True))
            print(f"  usage by {label}: {shares}")


if __name__ == "__main__":
    main()
