"""Comparison of DEQ fusion with other fusions on a data set, with the same streams, training and seeds.

    python benchmarks/equilibrium.py benchmarks/recipes/rosmap_fusion.yaml --seeds 10 --out rosmap.jsonl

Heads: concat, sum, the cell of DEQ fusion as a weight-tied network of 1 and 5 steps (from the injected features, and
of 1 step from zero as in the released code), the fixed point of that cell, and that of the coupled cell; the mixing
cell as a weight-tied network of 1 and 4 steps, with weights of its own in each of 4 steps, and its fixed point. Every
head has the same number of settings. Each setting is trained with `--choose` seeds, and the one with the best mean on
validation data is chosen. It is then trained with `--seeds` other seeds, and each network is evaluated on test once. An
interrupted run can be continued: rows in the file are not computed again. `--caps` trains the fixed point with each cap
instead, and evaluates every network with all lower caps, too.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student

from nasfuse.data import load_dataset
from nasfuse.nn.equilibrium import StoppingRule, equilibrium_layers
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, measure, measured_macs, train_network

CPU = torch.device("cpu")

FIXED_POINT = {"kind": "equilibrium", "max_steps": 20, "tolerance": 1e-3}
TIED = {"kind": "equilibrium", "gradient": "unroll"}
MIXING = {"kind": "equilibrium", "cell": "mixing"}

#: Fusion options of each head apart from width and placement, and whether gate and Jacobian weight are chosen.
HEADS: dict[str, dict[str, Any]] = {
    "concat": {"kind": "concat"},
    "sum": {"kind": "sum"},
    "tied K=1, from zero": {**TIED, "max_steps": 1, "start": "zero"},
    "tied K=1": {**TIED, "max_steps": 1},
    "tied K=5": {**TIED, "max_steps": 5},
    "DEQ": FIXED_POINT,
    "DEQ, coupled": {**FIXED_POINT, "coupled": True},
    "mixing K=1": {**MIXING, "gradient": "unroll", "max_steps": 1},
    "mixing K=4": {**MIXING, "gradient": "unroll", "max_steps": 4},
    "mixing, untied 4": {**MIXING, "gradient": "unroll", "max_steps": 4, "tied": False},
    "mixing, fixed point": {
        **MIXING,
        "gradient": "random_steps",
        "start": "random",
        "solver": "picard",
        "max_steps": 8,
        "tolerance": 1e-2,
    },
}


def settings(head: str, rates: list[float], weights: list[float]) -> list[dict[str, Any]]:
    """Returns the settings of a head, the same number for all: learning rates and values of one other option."""
    if HEADS[head]["kind"] != "equilibrium" or "cell" in HEADS[head]:
        return [{"lr": lr, "dropout": dropout} for lr in rates for dropout in (0.0, 0.3)]
    if "gradient" in HEADS[head]:
        return [{"lr": lr, "gate": gate} for lr in rates for gate in ("linear", "sigmoid")]
    return [
        {"lr": lr, "gate": gate, "jacobian_weight": weight}
        for lr, (gate, weight) in zip(
            [lr for lr in rates for _ in range(2)],
            itertools.cycle([("linear", weights[0]), ("sigmoid", weights[-1])]),
            strict=False,
        )
    ]


def recipe_of(base: Recipe, head: str, setting: dict[str, Any], **fusion: Any) -> Recipe:
    """Returns `base` with the fusion of `head` at `setting`."""
    plain = base.to_plain()
    old = plain["network"]["fusion"]
    plain["network"]["fusion"] = {"placement": old["placement"], "width": old["width"], **HEADS[head], **fusion}
    if "gate" in setting:
        plain["network"]["fusion"]["gate"] = setting["gate"]
    if "dropout" in setting:
        plain["network"]["dropout"] = setting["dropout"]
    if "jacobian_weight" in setting:
        plain["training"]["equilibrium"] = {"jacobian_weight": setting["jacobian_weight"]}
    if "cell" in HEADS[head]:
        plain["training"]["equilibrium"] = {"jacobian_weight": 0.0}
    plain["training"]["lr"] = setting["lr"]
    return Recipe.parse(plain)


def train_once(recipe: Recipe, number: int, *, seed: int, test: bool) -> dict[str, Any]:
    """Returns metric, MACs, seconds and convergence of the solves of one training."""
    dataset = load_dataset(recipe.data, division=number)
    start = time.perf_counter()
    trained = train_network(recipe, dataset, seed=derive_seed(seed, "equilibrium", number), device=CPU)
    seconds = time.perf_counter() - start
    points, record = measure(trained, dataset, metric=recipe.metric, device=CPU)
    row: dict[str, Any] = {
        "val": points[0].metric,
        "val_loss": trained.chosen.val_loss,
        "macs": points[0].macs,
        "params": points[0].params,
        "seconds": round(seconds, 2),
        "epochs": len(trained.curve),
    }
    if "equilibrium" in record:
        row["solves"] = record["equilibrium"]["solves"]
        row["worst_macs"] = record["equilibrium"]["worst_macs"]
        row["backward_converged"] = record["equilibrium"]["backward_converged"]
    if test:
        network = trained.network
        value, _ = evaluate(network, dataset.test, metric=recipe.metric, task=dataset.task, device=CPU)
        row["test"] = value
    return row


def train_at_caps(base: Recipe, setting: dict[str, Any], caps: list[int], number: int, *, seed: int) -> list[dict]:
    """Returns one row for each pair of a cap in training and a cap in evaluation."""
    rows = []
    for cap in caps:
        recipe = recipe_of(base, "DEQ", setting, max_steps=cap)
        dataset = load_dataset(recipe.data, division=number)
        trained = train_network(recipe, dataset, seed=derive_seed(seed, "equilibrium", number), device=CPU)
        (layer,) = equilibrium_layers(trained.network)
        for lower in [one for one in caps if one <= cap]:
            layer.inference_rule = StoppingRule(recipe.network.fusion.tolerance, lower)  # type: ignore[union-attr]
            macs = measured_macs(trained.network, dataset.val, dataset, device=CPU)
            row = {"trained_at": cap, "looked_at": lower, "macs": macs}
            for name in ("val", "test"):
                split = dataset.split(name)
                row[name], _ = evaluate(trained.network, split, metric=recipe.metric, task=dataset.task, device=CPU)
            rows.append(row)
    return rows


class Rows:
    """Rows in a file, none of which is computed twice."""

    def __init__(self, path: Path) -> None:
        """Reads the rows of the file, if it exists."""
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = {line_key(row): row for row in map(json.loads, lines)}

    def get(self, key: dict[str, Any], make: Any) -> dict[str, Any]:
        """Returns the row of `key`; computes and writes it if the file does not have it."""
        name = line_key({"key": key})
        if name not in self.known:
            row = {"key": key, **make()}
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            self.known[name] = row
        return self.known[name]


def line_key(row: dict[str, Any]) -> str:
    """Returns the key of a row as one string."""
    return json.dumps(row["key"], sort_keys=True)


def interval(values: list[float]) -> str:
    """Returns the mean and half the width of its 95 % confidence interval (Student's t)."""
    if len(values) < 2:
        return f"{values[0]:.4f}"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.fmean(values):.4f} +- {half:.4f}"


def compare_heads(base: Recipe, rows: Rows, options: argparse.Namespace) -> None:
    """Chooses settings, trains, tests and prints the table."""
    print("head | setting | val | test | MACs (at most) | params | train s | converged | mean steps | radius")
    results: dict[str, list[float]] = {}
    for head in options.heads or HEADS:
        chosen, best = {}, -math.inf
        for setting in settings(head, options.rates, options.weights):
            recipe = recipe_of(base, head, setting)
            found = [
                rows.get(
                    {"head": head, "setting": setting, "choose": number},
                    lambda r=recipe, n=number: train_once(r, n, seed=options.seed + 1000, test=False),
                )
                for number in range(options.choose)
            ]
            mean = statistics.fmean(row["val"] for row in found)
            if mean > best:
                chosen, best = setting, mean
        recipe = recipe_of(base, head, chosen)
        found = [
            rows.get(
                {"head": head, "setting": chosen, "seed": number},
                lambda r=recipe, n=number: train_once(r, n, seed=options.seed, test=True),
            )
            for number in range(options.seeds)
        ]
        results[head] = [row["test"] for row in found]
        print(" | ".join([head, json.dumps(chosen), *table_cells(found)]), flush=True)
    reference = results.get("tied K=1")
    for head, values in results.items() if reference else ():
        if head != "tied K=1":
            pairs = [one - other for one, other in zip(values, reference, strict=True)]
            print(f"{head} minus tied K=1, paired by seed: {interval(pairs)}")


def table_cells(found: list[dict[str, Any]]) -> list[str]:
    """Returns the cells of one head's line after its setting."""
    cells = [interval([row[name] for row in found]) for name in ("val", "test")]
    macs = statistics.fmean(row["macs"] for row in found)
    worst = f" ({found[0]['worst_macs']:,})" if "worst_macs" in found[0] else ""
    cells += [f"{macs:,.0f}{worst}", f"{found[0]['params']:,}", f"{statistics.fmean(r['seconds'] for r in found):.1f}"]
    if "solves" not in found[0]:
        return [*cells, "", "", ""]
    solves = [list(row["solves"].values()) for row in found]
    for name in ("converged", "mean_steps", "spectral_radius"):
        means = [statistics.fmean(one[part][name] for one in solves) for part in range(len(solves[0]))]
        cells.append(" / ".join(f"{mean:.3g}" for mean in means))
    return cells


def compare_caps(base: Recipe, rows: Rows, options: argparse.Namespace) -> None:
    """Trains with each cap, evaluates with all lower caps, and prints the table."""
    setting = {"lr": options.rates[0], "gate": options.gate, "jacobian_weight": options.weights[0]}
    found = [
        rows.get(
            {"caps": options.caps, "setting": setting, "seed": number},
            lambda n=number: {"rows": train_at_caps(base, setting, options.caps, n, seed=options.seed)},
        )["rows"]
        for number in range(options.seeds)
    ]
    print("trained at | looked at | val | test | MACs")
    for position, first in enumerate(found[0]):
        same = [rows[position] for rows in found]
        macs = statistics.fmean(row["macs"] for row in same)
        cells = [interval([row[name] for row in same]) for name in ("val", "test")]
        print(f"{first['trained_at']} | {first['looked_at']} | {cells[0]} | {cells[1]} | {macs:,.0f}")


def main() -> None:
    """Reads the options and runs one of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heads", nargs="+", choices=HEADS)
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-3, 5e-3])
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0])
    parser.add_argument("--caps", type=int, nargs="+")
    parser.add_argument("--gate", default="linear")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base, rows = Recipe.load(options.recipe), Rows(options.out)
    (compare_caps if options.caps else compare_heads)(base, rows, options)


if __name__ == "__main__":
    main()
