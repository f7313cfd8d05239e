"""Fusion at several sites beside fusion at one place, on AV-MNIST (re-created) and HAPT at equal MACs.

Every design has the streams of the fusion recipe of the data set, with widths such that its MACs are within 5 % of
those of that recipe; of all such widths, those nearest to the proportions of the recipe. The designs of one place
(concat or a gated sum after one, two or three stages) and those of several sites are equally many. Each is trained with
the same epochs and seeds. Of either kind, the design with the best mean on validation data is chosen, and only for
these two the results on the test split are read.

    python benchmarks/several_sites.py hapt --seeds 5
    python benchmarks/several_sites.py avmnist_rc --seeds 5

Every training is a row of a file, and trainings that are there are not run again.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.search.comparison import mean_sd
from nasfuse.data import Dataset, load_dataset
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.space_survey import macs_of
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, train_network

CPU = torch.device("cpu")

#: Largest difference of the MACs of a design from those of the recipe, as a share.
TOLERANCE = 0.05

Design = dict[str, Any]


def one_place() -> dict[str, Design]:
    """Returns the designs that fuse at one place, by name."""
    return {f"{kind} at {n}": {"kind": kind, "placement": n} for kind in ("concat", "gated") for n in (1, 2, 3)}


def chains() -> dict[str, Design]:
    """Returns chains of cells (MFAS), by name."""
    return {
        "chain at every stage": {"kind": "chain"},
        "chain at the last 2": {"kind": "chain", "n_sites": 2},
        "chain at the last 3": {"kind": "chain", "n_sites": 3},
    }


def sites(*operators: str, n_sites: Sequence[int | None]) -> dict[str, Design]:
    """Returns fusions of a main stream at sites, by name."""
    found: dict[str, Design] = {}
    for operator, count in itertools.product(operators, n_sites):
        where = "every stage" if count is None else f"the last {count}"
        found[f"{operator} at {where}"] = {"kind": "sites", "operator": operator, "n_sites": count}
    return found


#: Data set to its designs of several sites. Images and sequences correspond at no position, so that only attention and
#: cells of vectors can fuse them.
SEVERAL = {
    "hapt": {**chains(), **sites("se_add", "concat", "bottleneck", n_sites=[None])},
    "avmnist_rc": {
        **chains(),
        **sites("bottleneck", n_sites=[None, 2]),
        **sites("cross_attention", n_sites=[None]),
    },
}


def recipe_of(base: Recipe, design: Design, widths: Sequence[int]) -> Recipe:
    """Returns the recipe of a design with streams of these widths."""
    plain = base.to_plain()
    for stream, width in zip(plain["network"]["streams"].values(), widths, strict=True):
        stream["width"] = width
    fusion = {name: value for name, value in design.items() if value is not None}
    if fusion["kind"] != "sites":
        fusion["width"] = base.network.fusion.width  # type: ignore[union-attr]
    plain["network"]["fusion"] = fusion
    return Recipe.parse(plain)


def of_equal_macs(base: Recipe, design: Design, dataset: Dataset) -> Recipe:
    """Returns the recipe of a design whose MACs are within `TOLERANCE` of those of `base`.

    Raises:
        InvalidInputError: No widths give such MACs.
    """
    target = macs_of(base, dataset)
    own = [stream.width for stream in base.network.streams.values()]
    for widths in nearest_proportions(own):
        recipe = recipe_of(base, design, widths)
        if abs(macs_of(recipe, dataset) / target - 1) <= TOLERANCE:
            return recipe
    raise InvalidInputError(f"no widths of {design} have {target} MACs; widen the range of `nearest_proportions`")


def nearest_proportions(own: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Returns widths of all streams from a third to twice their own, those of nearly the same factor first."""
    ranges = [range(max(width // 3, 4), 2 * width + 1) for width in own]

    def spread(widths: tuple[int, ...]) -> float:
        factors = [width / before for width, before in zip(widths, own, strict=True)]
        return max(factors) / min(factors)

    return iter(sorted(itertools.product(*ranges), key=spread))


def trained(recipe: Recipe, dataset: Dataset, seed: int) -> dict[str, Any]:
    """Returns the results of a training on both splits."""
    network = train_network(recipe, dataset, seed=seed, device=CPU).network
    return {
        name: evaluate(network, dataset.split(name), metric=recipe.metric, task=dataset.task, device=CPU)[0]
        for name in ("val", "test")
    }


def main() -> None:
    """Trains what is missing, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(SEVERAL))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    parser.add_argument("--output", type=Path, default=Path("runs/several_sites"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    plain = Recipe.load(Path(__file__).parent / "recipes" / f"{options.set}_fusion.yaml").to_plain()
    if options.epochs is not None:
        plain["training"]["epochs"] = options.epochs
    base = Recipe.parse(plain)
    dataset = load_dataset(base.data)
    kinds = {"one place": one_place(), "several sites": SEVERAL[options.set]}
    recipes = {
        kind: {name: of_equal_macs(base, design, dataset) for name, design in designs.items()}
        for kind, designs in kinds.items()
    }
    file = options.output / f"{options.set}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    known = {(row["hash"], row["seed"]): row for row in rows}
    for seed in range(options.seeds):
        for name, recipe in (pair for designs in recipes.values() for pair in designs.items()):
            if (recipe.hash, seed) not in known:
                row = {"design": name, "hash": recipe.hash, "seed": seed, **trained(recipe, dataset, seed)}
                known[recipe.hash, seed] = row
                with file.open("a") as rows_file:
                    rows_file.write(json.dumps(row) + "\n")
                print(f"seed {seed}: {name} done", flush=True)
    chosen: dict[str, tuple[str, Recipe]] = {}
    print(f"\n{options.set}, {base.training.epochs} epochs, {options.seeds} seeds, {base.metric} on validation data")
    for kind, designs in recipes.items():
        means: dict[str, float] = {}
        for name, recipe in designs.items():
            values = [known[recipe.hash, seed]["val"] for seed in range(options.seeds)]
            means[name] = statistics.fmean(values)
            print(f"  {kind:<14} {name:<30} {macs_of(recipe, dataset):>11,} MACs  {mean_sd(values)}")
        best = max(means, key=means.__getitem__)
        chosen[kind] = best, designs[best]
    print("chosen, on the test split:")
    tests = {}
    for kind, (name, recipe) in chosen.items():
        tests[kind] = [known[recipe.hash, seed]["test"] for seed in range(options.seeds)]
        print(f"  {kind:<14} {name:<30} {macs_of(recipe, dataset):>11,} MACs  {mean_sd(tests[kind])}")
    gains = [several - one for one, several in zip(tests["one place"], tests["several sites"], strict=True)]
    print(f"  several sites minus one place, seed by seed: {mean_sd(gains)}")


if __name__ == "__main__":
    main()
