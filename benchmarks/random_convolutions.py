"""Comparison of random convolutions with linear models, and the time saved by computing their features once.

Each recipe is trained with several seeds, and every network is evaluated on test once. The linear models are those of
scikit-learn: logistic regression on statistics of the windows, ridge regression on the random convolutions of every
network, and logistic regression on those of the first one. Their regularisation is chosen on validation data.

    NASFUSE_DATA=... python benchmarks/random_convolutions.py --seeds 5
    NASFUSE_DATA=... python benchmarks/random_convolutions.py --seeds 3 --val    # to choose a recipe: test is not read
    NASFUSE_DATA=... python benchmarks/random_convolutions.py --time
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from torch import Tensor

from nasfuse.data import Dataset
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.objective import cached_dataset
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.nn.network import Network
from nasfuse.prediction import read_network
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import fixed_features, train_network
from nasfuse.train.metrics import score

CPU = torch.device("cpu")
RECIPES = [Path(__file__).parent / "recipes" / f"hapt_random_conv{name}.yaml" for name in ("", "_small")]
#: Function from the strength of the regularisation to a linear model.
MODELS: dict[str, Callable[[float], Any]] = {
    "ridge": lambda strength: RidgeClassifier(alpha=strength),
    "logistic regression": lambda strength: LogisticRegression(C=1 / strength, max_iter=100),
}
STRENGTHS = (1.0, 10.0, 100.0)
Parts = Mapping[str, Tensor]


def window_statistics(dataset: Dataset) -> Parts:
    """Returns mean, standard deviation, minimum and maximum of every channel by split, standardised with train."""
    parts = {}
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        batch = split.batch(torch.arange(len(split)), names=tuple(split.columns))
        columns = [x for v in batch.inputs.values() for x in (v.mean(1), v.std(1), v.amin(1), v.amax(1))]
        parts[name] = torch.cat(columns, dim=1)
    mean, std = parts["train"].mean(dim=0), parts["train"].std(dim=0)
    return {name: (values - mean) / std for name, values in parts.items()}


@torch.no_grad()
def random_convolutions(network: Network, dataset: Dataset) -> Parts:
    """Returns the fixed features of all streams of `network` by split."""
    parts = {}
    for name in ("train", "val", "test"):
        split, rows = dataset.split(name), []
        for index in torch.split(torch.arange(len(split)), 256):
            batch = split.batch(index, names=network.stream_names)
            stems = fixed_stems(network).items()
            rows.append(torch.cat([stem.features(batch.inputs[k], batch.masks.get(k)) for k, stem in stems], dim=1))
        parts[name] = torch.cat(rows)
    return parts


def linear_model(make: Callable[[float], Any], parts: Parts, dataset: Dataset, metric: str) -> dict[str, float]:
    """Returns val and test of the model whose regularisation is best on val."""
    best: dict[str, float] = {}
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = make(strength).fit(parts["train"].numpy(), dataset.train.targets.numpy())
        result = {}
        for name in ("val", "test"):
            scores = torch.from_numpy(model.decision_function(parts[name].numpy()))
            result[name] = score(metric, scores, dataset.split(name).targets, task="multiclass", target_scale=None)
        if not best or result["val"] > best["val"]:
            best = result
    return best


def line(label: str, results: list[dict[str, float]], macs: int | None = None) -> None:
    """Prints val and test with their spread over the seeds."""
    cells = []
    for name in ("val", "test"):
        values = [result[name] for result in results if name in result]
        if values:
            spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{name} {statistics.fmean(values):.4f}{spread}")
    print(f"{label:<52} {'' if macs is None else f'{macs:,}':>9}  {'  '.join(cells)}", flush=True)


def main() -> None:
    """Prints one line per network and linear model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=Path, nargs="*", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--val", action="store_true", help="networks on validation data alone")
    parser.add_argument("--time", action="store_true", help="time an epoch with and without features computed once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for file in options.recipes:
        recipe = Recipe.load(file)
        dataset = cached_dataset(recipe.data.model_dump_json())
        if options.time:
            compare_times(recipe, dataset)
        elif options.val:
            trained = [train_network(recipe, dataset, seed=seed, device=CPU) for seed in range(options.seeds)]
            line(file.stem, [{"val": one.chosen.val_metric} for one in trained])
        else:
            test(file.stem, recipe, dataset, n_seeds=options.seeds)


def test(label: str, recipe: Recipe, dataset: Dataset, *, n_seeds: int) -> None:
    """Trains and tests networks and linear models."""
    with tempfile.TemporaryDirectory() as folder:
        final = train_recipe(recipe, Path(folder), n_seeds=n_seeds, seed=0, device=CPU, report=lambda *_: None)
        line(label, [{"val": one.val, "test": one.test} for one in final.seeds], final.macs)
        networks = [read_network(Path(one.checkpoint), device=CPU).network for one in final.seeds]
    same_features = [random_convolutions(network, dataset) for network in networks]
    for name, parts_of in {"ridge": same_features, "logistic regression": same_features[:1]}.items():
        results = [linear_model(MODELS[name], parts, dataset, recipe.metric) for parts in parts_of]
        line(f"  {name} on the same features", results)
    line("  logistic regression on window statistics",
         [linear_model(MODELS["logistic regression"], window_statistics(dataset), dataset, recipe.metric)])  # fmt: skip


def compare_times(recipe: Recipe, dataset: Dataset) -> None:
    """Prints the seconds of a training with features computed once and in every epoch, in turn."""
    short = replace_epochs(recipe, 5)
    for most_bytes in (fixed_features._MOST_BYTES, 0):
        fixed_features._MOST_BYTES = most_bytes
        started = time.process_time()
        train_network(short, dataset, seed=derive_seed(0, "time"), device=CPU)
        how = "once" if most_bytes else "in every epoch"
        print(f"features computed {how}: {time.process_time() - started:.1f} s of CPU time for 5 epochs", flush=True)


def replace_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Returns the recipe with fewer epochs."""
    training = recipe.training.model_copy(update={"epochs": epochs, "patience": epochs})
    return recipe.model_copy(update={"training": training})


if __name__ == "__main__":
    main()
