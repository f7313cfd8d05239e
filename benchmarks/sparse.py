"""Comparison of sparse fusion with dense controls on a data set, with equal tokens, width, depth, training and seeds.

    python benchmarks/sparse.py benchmarks/recipes/hapt_tokens.yaml --out hapt.jsonl

Controls: late fusion, dense concat, MBT, MulT, concat with max pooling after block 1, both concats also at twice the
stride, SFT (CLS, max pooling, full attention; reduced in its first stage), all of the depth of the recipe. Two sparse
networks are chosen among `VARIANTS` by their mean on validation data over `--choose` seeds of their own: of those that
cost at most a sixth of the cheapest dense control, and of those that cost no more than the concat pooled at twice the
stride, in MACs and in activation memory. Then all networks are trained with `--seeds` other seeds and evaluated on
test once. An interrupted run can be continued: rows in the file are not computed again. `--sweep` trains one network
per reducer instead, without and with reduction, and evaluates each at other keep ratios on validation data.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from nasfuse.cost import activation_bytes, expected_macs
from nasfuse.data import load_dataset
from nasfuse.nn import build_network
from nasfuse.nn.knob import knobs_at
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, train_network

CPU = torch.device("cpu")
POOLED = "concat + pool, stride x2"
DENSE = ("late fusion", "concat", "MBT", "MulT")

#: Stride relative to that of the recipe, window, reducer, keep ratio and readout of the candidate sparse networks.
FULL = 4096
VARIANTS = [
    (2, FULL, "average", 1 / 8, "cls"),
    (2, FULL, "average", 1 / 8, "mean"),
    (2, FULL, "average", 1 / 4, "cls"),
    (2, FULL, "max", 1 / 8, "cls"),
    (2, FULL, "latent", 1 / 8, "cls"),
    (2, 8, "attention", 1 / 8, "mean"),
    (4, FULL, "average", 1 / 4, "cls"),
    (2, 8, "average", 1 / 8, "mean"),
    (2, FULL, "average", 1 / 16, "cls"),
    (2, FULL, "average", 1 / 16, "mean"),
    (2, 8, "average", 1 / 16, "mean"),
    (2, 8, "max", 1 / 16, "mean"),
]

#: Keep ratios of the sweep.
RATIOS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
SWEPT = ("max", "average", "strided", "attention", "top_k", "merge")


def recipe_of(base: Recipe, fusion: dict[str, Any], stream: dict[str, Any] | None = None, *, stride: int = 1) -> Recipe:
    """Returns `base` with another fusion, other options of every stream and `stride` times its strides."""
    plain = base.to_plain()
    old = plain["network"]["fusion"]
    attention = {key: old[key] for key in ("heads", "mlp_ratio")} if fusion["kind"] != "sum" else {}
    plain["network"]["fusion"] = {"width": old["width"], "dropout": old["dropout"], **attention, **fusion}
    for options in plain["network"]["streams"].values():
        options["stride"] *= stride
        options.update(stream or {})
    return Recipe.parse(plain)


def variant(base: Recipe, stride: int, window: int, kind: str, ratio: float, readout: str) -> Recipe:
    """Returns a sparse network: one stage per stream in windows, reduced there, then joint stages."""
    stream = {"window": window, "readout": readout, "reducer": {"kind": kind, "keep_ratio": ratio, "at": 1}}
    return recipe_of(base, {"kind": "joint_tokens", "placement": 1}, stream, stride=stride)


def name_of(stride: int, window: int, kind: str, ratio: float, readout: str) -> str:
    reach = "full attention" if window == FULL else f"window {window}"
    return f"sparse: stride x{stride}, {reach}, {kind} 1/{round(1 / ratio)}, {readout}"


def controls(base: Recipe) -> dict[str, Recipe]:
    """Returns name to recipe of the controls."""
    depth = max(stream.depth for stream in base.network.streams.values())
    concat = {"kind": "joint_tokens", "placement": 0}
    pool = {"kind": "max", "keep_ratio": 1 / 16, "at": 1}
    return {
        "late fusion": recipe_of(base, {"kind": "sum", "placement": depth}),
        "concat": recipe_of(base, concat),
        "MBT": recipe_of(base, {"kind": "bottleneck", "placement": depth // 2}),
        "MulT": recipe_of(base, {"kind": "cross_attention", "placement": 0}),
        "concat, stride x2": recipe_of(base, {"kind": "joint_tokens", "placement": 0}, stride=2),
        "concat + pool": recipe_of(base, {"kind": "joint_tokens", "placement": 0, "reducer": pool}),
        POOLED: recipe_of(base, {"kind": "joint_tokens", "placement": 0, "reducer": pool}, stride=2),
        "SFT": recipe_of(base, {"kind": "joint_tokens", "placement": 1}, {"reducer": pool}),
    }


def costs_of(recipe: Recipe) -> tuple[float, float]:
    """Returns MACs and activation bytes of the untrained network."""
    dataset = load_dataset(recipe.data)
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    few = dataset.val.batch(torch.arange(8), names=network.stream_names)
    return expected_macs(network, dataset), activation_bytes(network, few)


def train_once(recipe: Recipe, number: int, *, seed: int, test: bool) -> dict[str, Any]:
    """Returns metric, MACs, activation memory and seconds of one training."""
    dataset = load_dataset(recipe.data, division=number)
    start = time.perf_counter()
    trained = train_network(recipe, dataset, seed=derive_seed(seed, "sparse", number), device=CPU)
    network = trained.network
    few = dataset.val.batch(torch.arange(8), names=network.stream_names)
    row = {
        "val": trained.chosen.val_metric,
        "macs": expected_macs(network, dataset),
        "bytes": activation_bytes(network, few),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if test:
        row["test"], _ = evaluate(network, dataset.test, metric=recipe.metric, task=dataset.task, device=CPU)
    return row


class Rows:
    """Results, which are written to a file as soon as they are computed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def get(self, **key: Any) -> dict[str, Any] | None:
        return next((row for row in self.rows if key.items() <= row.items()), None)

    def add(self, **row: Any) -> None:
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def of(self, system: str, stage: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if (row["system"], row["stage"]) == (system, stage)]


def train(rows: Rows, recipe: Recipe, system: str, stage: str, numbers: range, *, seed: int) -> None:
    for number in numbers:
        key = {"system": system, "stage": stage, "number": number, "seed": seed, "recipe": recipe.hash}
        if rows.get(**key) is None:
            rows.add(**key, **train_once(recipe, number, seed=seed, test=stage == "final"))


def spread(values: list[float]) -> str:
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.4f} +- {sd:.4f}"


def compare(base: Recipe, rows: Rows, *, n_choose: int, n_seeds: int, seed: int) -> None:
    named = controls(base)
    sixth = [min(column) / 6 for column in zip(*(costs_of(named[name]) for name in DENSE), strict=True)]
    limits = {"a sixth of the dense": sixth, POOLED: costs_of(named[POOLED])}
    costs = {one: costs_of(variant(base, *one)) for one in VARIANTS}
    affordable = {
        budget: [one for one in VARIANTS if all(cost <= most for cost, most in zip(costs[one], limit, strict=True))]
        for budget, limit in limits.items()
    }
    for one in dict.fromkeys(one for several in affordable.values() for one in several):
        train(rows, variant(base, *one), name_of(*one), "choose", range(n_seeds, n_seeds + n_choose), seed=seed)

    def chosen_val(one: tuple[int, int, str, float, str]) -> float:
        return statistics.fmean(row["val"] for row in rows.of(name_of(*one), "choose"))

    systems = dict(named)
    for budget, several in affordable.items():
        best = max(several, key=chosen_val)
        print(f"chosen on validation data within {budget}: {name_of(*best)}")
        systems[name_of(*best)] = variant(base, *best)
    for name, recipe in sorted(systems.items(), key=lambda item: item[0] in DENSE):  # the quick ones first
        train(rows, recipe, name, "final", range(n_seeds), seed=seed)
    # Networks that an earlier run has chosen among fewer variants stay in the table.
    found = {name: rows.of(name, "final") for name in dict.fromkeys(row["system"] for row in rows.rows)}
    found = {name: several for name, several in found.items() if several}
    reference = max(DENSE, key=lambda name: statistics.fmean(row["test"] for row in found[name]))
    print(f"best dense control on test: {reference}\n\n| system | val | test | MMACs | fewer | KiB | less |")
    print("|---" * 7 + "|")
    most = {key: statistics.fmean(row[key] for row in found[reference]) for key in ("macs", "bytes")}
    for name, several in sorted(found.items(), key=lambda item: item[1][0]["macs"]):
        val, test = (spread([row[key] for row in several]) for key in ("val", "test"))
        macs, size = (statistics.fmean(row[key] for row in several) for key in ("macs", "bytes"))
        fewer, less = most["macs"] / macs, most["bytes"] / size
        print(f"| {name} | {val} | {test} | {macs / 1e6:.3f} | {fewer:.1f} | {size / 2**10:.0f} | {less:.1f} |")


def sweep(base: Recipe, rows: Rows, *, n_seeds: int, seed: int) -> None:
    """Trains with every reducer at 1/4 in the one stage before the fusion, and `merge` and `top_k` without, too."""
    for kind in SWEPT:
        for trained_at in (0.25, 1.0) if kind in ("merge", "top_k") else (0.25,):
            recipe = variant(base, 1, FULL, kind, trained_at, "mean")
            system = f"{kind}, trained at {trained_at:g}"
            for number in range(n_seeds):
                key = {"system": system, "number": number, "seed": seed, "recipe": recipe.hash}
                if rows.get(**key) is not None:
                    continue
                dataset = load_dataset(recipe.data, division=number)
                network = train_network(recipe, dataset, seed=derive_seed(seed, "sweep", number), device=CPU).network
                knobs = [f"keep_ratio.{name}" for name in base.network.route]
                for ratio in RATIOS:
                    with knobs_at(network.knobs(), dict.fromkeys(knobs, ratio)):
                        macs = expected_macs(network, dataset)
                        value, _ = evaluate(network, dataset.val, metric=recipe.metric, task=dataset.task, device=CPU)
                    rows.add(**key, stage=f"{ratio:g}", val=value, macs=macs)
    print("| reducer | " + " | ".join(f"1/{round(1 / ratio)}" for ratio in RATIOS) + " |")
    print("|---" * (1 + len(RATIOS)) + "|")
    for system in dict.fromkeys(row["system"] for row in rows.rows):
        cells = [spread([row["val"] for row in rows.of(system, f"{ratio:g}")]) for ratio in RATIOS]
        costs = [statistics.fmean(row["macs"] for row in rows.of(system, f"{ratio:g}")) / 1e6 for ratio in RATIOS]
        print(f"| {system} | " + " | ".join(cells) + " |")
        print("| MMACs | " + " | ".join(f"{cost:.3f}" for cost in costs) + " |")


def plot(rows: Rows, path: Path) -> None:
    """Draws the metric of every system against the MACs at its keep ratios, with the spread over seeds."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(7, 4.5), layout="constrained")).subplots()
    for system in dict.fromkeys(row["system"] for row in rows.rows):
        cells = [rows.of(system, f"{ratio:g}") for ratio in RATIOS]
        macs = [statistics.fmean(row["macs"] for row in cell) / 1e6 for cell in cells]
        means = [statistics.fmean(row["val"] for row in cell) for cell in cells]
        spreads = [statistics.stdev(row["val"] for row in cell) if len(cell) > 1 else 0.0 for cell in cells]
        style = "--" if system.endswith("at 1") else "-"
        axes.errorbar(macs, means, spreads, marker="o", markersize=4, capsize=2, linestyle=style, label=system)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5], ["1", "2", "5"])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="MMACs per sample, keep ratios 1/32 to 1", ylabel="metric on validation data")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--plot", type=Path, help="image file for the figure of the sweep")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base, rows = Recipe.load(arguments.recipe), Rows(arguments.out)
    if arguments.sweep:
        sweep(base, rows, n_seeds=arguments.seeds, seed=arguments.seed)
        if arguments.plot is not None:
            plot(rows, arguments.plot)
    else:
        compare(base, rows, n_choose=arguments.choose, n_seeds=arguments.seeds, seed=arguments.seed)


if __name__ == "__main__":
    main()
