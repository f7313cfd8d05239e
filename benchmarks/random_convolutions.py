"""Comparison of random convolutions with linear models, and the time saved by computing their features once.

Each recipe has `data.validation`: networks are trained on train and val together with several seeds, and evaluated on
test once. The linear models are those of scikit-learn, trained on the same samples: logistic regression on statistics
of the windows, and ridge regression on the random convolutions of the first network. The strength of their
regularisation is chosen by cross-validation over the groups of the data.

    NASFUSE_DATA=... python benchmarks/random_convolutions.py --seeds 5
    NASFUSE_DATA=... python benchmarks/random_convolutions.py --seeds 3 --val    # to choose a recipe: test is not read
    NASFUSE_DATA=... python benchmarks/random_convolutions.py --time
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold
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
from nasfuse.train.cross_validation import pooled_score
from nasfuse.train.evaluation import predict_logits
from nasfuse.train.metrics import score

CPU = torch.device("cpu")
RECIPES = [Path(__file__).parent / "recipes" / f"hapt_random_conv{name}.yaml" for name in ("", "_small")]
Parts = Mapping[str, Tensor]

#: Linear models, and the strengths of their regularisation.
MODELS: dict[str, tuple[Any, dict[str, list[float]]]] = {
    "ridge": (RidgeClassifier(), {"alpha": [1.0, 10.0, 100.0]}),
    "logistic regression": (LogisticRegression(max_iter=1000), {"C": [0.01, 0.1, 1.0]}),
}


def window_statistics(dataset: Dataset) -> Parts:
    """Returns mean, standard deviation, minimum and maximum of every channel, standardised with train."""
    parts = {}
    for name in ("train", "test"):
        split = dataset.split(name)
        batch = split.batch(torch.arange(len(split)), names=tuple(split.columns))
        columns = [x for v in batch.inputs.values() for x in (v.mean(1), v.std(1), v.amin(1), v.amax(1))]
        parts[name] = torch.cat(columns, dim=1)
    mean, std = parts["train"].mean(dim=0), parts["train"].std(dim=0)
    return {name: (values - mean) / std for name, values in parts.items()}


@torch.no_grad()
def random_convolutions(network: Network, dataset: Dataset) -> Parts:
    """Returns the fixed features of all streams of `network`."""
    parts = {}
    for name in ("train", "test"):
        split, rows = dataset.split(name), []
        for index in torch.split(torch.arange(len(split)), 256):
            batch = split.batch(index, names=network.stream_names)
            stems = fixed_stems(network).items()
            rows.append(torch.cat([stem.features(batch.inputs[k], batch.masks.get(k)) for k, stem in stems], dim=1))
        parts[name] = torch.cat(rows)
    return parts


def linear_model(name: str, parts: Parts, dataset: Dataset, metric: str) -> dict[str, float]:
    """Returns the mean macro-F1 over folds of train at the best strength, and the metric on test."""
    assert dataset.train.groups is not None
    model, strengths = MODELS[name]
    search = GridSearchCV(model, strengths, scoring="f1_macro", cv=GroupKFold(5))
    search.fit(parts["train"].numpy(), dataset.train.targets.numpy(), groups=dataset.train.groups.numpy())
    scores = torch.from_numpy(search.decision_function(parts["test"].numpy()))
    test = score(metric, scores, dataset.test.targets, task="multiclass", target_scale=None)
    return {"folds": search.best_score_, "test": test}


def cross_validated(recipe: Recipe, *, seed: int) -> float:
    """Returns the metric of the predictions pooled over the folds of a division."""
    validation = recipe.data.validation
    assert validation is not None, "recipes of this benchmark are cross-validated"
    outputs, splits = [], []
    for number in range(seed * validation.folds, (seed + 1) * validation.folds):
        dataset = cached_dataset(recipe.data.model_dump_json(), number)
        network = train_network(recipe, dataset, seed=seed, device=CPU).network
        outputs.append(predict_logits(network, dataset.val, device=CPU))
        splits.append(dataset.val)
    return pooled_score(recipe.metric, outputs, splits, task="multiclass")


def line(label: str, results: list[dict[str, float]], macs: int | None = None) -> None:
    """Prints the metric of folds and test with its spread over the seeds."""
    cells = []
    for name in ("folds", "test"):
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
    parser.add_argument("-o", "--out", type=Path, help="folder of the networks, to continue an interrupted run")
    parser.add_argument("--val", action="store_true", help="cross-validate the networks; test is not read")
    parser.add_argument("--time", action="store_true", help="time an epoch with and without features computed once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for file in options.recipes:
        recipe = Recipe.load(file)
        if options.time:
            compare_times(recipe)
        elif options.val:
            line(file.stem, [{"folds": cross_validated(recipe, seed=seed)} for seed in range(options.seeds)])
        else:
            test(file.stem, recipe, n_seeds=options.seeds, out=options.out)


def test(label: str, recipe: Recipe, *, n_seeds: int, out: Path | None) -> None:
    """Trains and tests networks and linear models."""
    dataset = cached_dataset(recipe.data.model_dump_json(), None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (out or Path(scratch)) / label
        final = train_recipe(recipe, folder, n_seeds=n_seeds, seed=0, device=CPU, report=lambda *_: None)
        line(label, [{"test": one.test} for one in final.seeds], final.macs)
        network = read_network(Path(final.seeds[0].checkpoint), device=CPU).network
    ridge = linear_model("ridge", random_convolutions(network, dataset), dataset, recipe.metric)
    line("  ridge on the features of the first seed", [ridge])
    plain = linear_model("logistic regression", window_statistics(dataset), dataset, recipe.metric)
    line("  logistic regression on window statistics", [plain])


def compare_times(recipe: Recipe) -> None:
    """Prints the seconds of a training with features computed once and in every epoch, in turn."""
    short, dataset = replace_epochs(recipe, 5), cached_dataset(recipe.data.model_dump_json())
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
