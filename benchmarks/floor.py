"""Comparison of recipes with models of scikit-learn on single modalities, on their concatenation, and averaged late.

All of them are first evaluated by repeated cross-validation within train and val, on the same folds. The best model of
scikit-learn and every recipe are then trained on train and val with each seed, and evaluated on test once. The models
of scikit-learn read vectors and images unchanged, statistics of the channels of sequences (the inputs of
`encoder: linear` with `statistics: true`), and the frequencies of token ids.

    python benchmarks/floor.py rosmap --seeds 5
    python benchmarks/floor.py hapt --seeds 5 --repeats 1
"""

import argparse
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from nasfuse.cost import expected_macs
from nasfuse.data import Dataset, Split
from nasfuse.data.sources.registry import load_table
from nasfuse.data.table import Table
from nasfuse.nn.linear_stream import statistics_of
from nasfuse.spec.recipe import Recipe
from nasfuse.train import train_network
from nasfuse.train.evaluation import predict_logits
from nasfuse.train.metrics import score

CPU = torch.device("cpu")
RECIPES = Path(__file__).parent / "recipes"
Array = NDArray[np.float64]

#: Models by name, from a seed.
MODELS: dict[str, Callable[[int], ClassifierMixin]] = {
    **{
        f"LR, C {c:g}": lambda seed, c=c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500))
        for c in (0.01, 0.1, 1.0)
    },
    "RF": lambda seed: RandomForestClassifier(300, random_state=seed),
    "GB": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    "MLP": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier((64,), early_stopping=True, max_iter=200, random_state=seed)
    ),
}


def features(dataset: Dataset, split: Split) -> dict[str, Array]:
    """Returns (n, F) of each modality."""
    names = tuple(modality.name for modality in dataset.modalities)
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for rows in torch.split(torch.arange(len(split)), 512):
        batch = split.batch(rows, names=names)
        for modality in dataset.modalities:
            values, mask = batch.inputs[modality.name], batch.masks.get(modality.name)
            if modality.vocabulary is not None:
                words = F.one_hot(values, modality.vocabulary).float()
                values = words.mean(dim=1) if mask is None else (words * mask[..., None]).sum(dim=1)
            elif modality.kind == "sequence":
                values = statistics_of(values, mask)
            parts[modality.name].append(values.flatten(1))
    return {name: torch.cat(own).double().numpy() for name, own in parts.items()}


def log_probabilities(dataset: Dataset, split: Split, *, seed: int, wanted: str | None = None) -> dict[str, Array]:
    """Returns (n, classes) of `split` for every model and arrangement, or for the one that is `wanted`."""
    train, other = features(dataset, dataset.train), features(dataset, split)
    inputs = {name: (train[name], other[name]) for name in train}
    if len(train) > 1:
        inputs["concat"] = (np.hstack(list(train.values())), np.hstack(list(other.values())))
    found: dict[str, Array] = {}
    for model, make in MODELS.items():
        for name, (fitted, shown) in inputs.items():
            if wanted in (None, f"{model}: {name}") or (wanted == f"{model}: late" and name in train):
                classifier = make(seed).fit(fitted, dataset.train.targets.numpy())
                found[f"{model}: {name}"] = np.log(np.clip(classifier.predict_proba(shown), 1e-12, 1))
        if len(train) > 1 and wanted in (None, f"{model}: late"):
            found[f"{model}: late"] = np.mean([found[f"{model}: {name}"] for name in train], axis=0)
    return found


def judged(logits: torch.Tensor, split: Split, dataset: Dataset, metric: str) -> dict[str, float]:
    """Returns the metric, and the area under the ROC curve of two classes."""
    found = {metric: score(metric, logits, split.targets, task=dataset.task.kind)}
    if dataset.task.n_outputs == 2:
        found["AUC"] = score("auc", logits, split.targets, task=dataset.task.kind)
    return found


def spread(values: list[float]) -> str:
    """Returns mean +- sd."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.4f} +- {deviation:.4f}"


def joined(results: list[dict[str, float]]) -> str:
    """Returns the spread of each measure."""
    return ", ".join(f"{key} {spread([one[key] for one in results])}" for key in results[0])


def cross_validated(table: Table, recipes: dict[str, Recipe], options: argparse.Namespace, metric: str) -> str:
    """Prints the mean over the folds of every model and recipe; returns the best model of scikit-learn."""
    results: dict[str, list[dict[str, float]]] = {}
    folds = (table.fold(number, n_folds=options.folds) for number in range(options.repeats * options.folds))
    for number, dataset in enumerate(folds):
        for name, values in log_probabilities(dataset, dataset.val, seed=number).items():
            results.setdefault(name, []).append(judged(torch.from_numpy(values), dataset.val, dataset, metric))
        for name, recipe in recipes.items():
            network = train_network(recipe, dataset, seed=number, device=CPU).network
            logits = predict_logits(network, dataset.val, device=CPU)
            results.setdefault(name, []).append(judged(logits, dataset.val, dataset, metric))
    means = {name: statistics.fmean(one[metric] for one in own) for name, own in results.items()}
    print(
        f"\ncross-validation within train and val, {options.repeats} x {options.folds} folds, mean +- sd of the folds"
    )
    for name in sorted(results, key=means.__getitem__, reverse=True):
        print(f"  {name:<28} {joined(results[name])}")
    return max((name for name in results if name not in recipes), key=means.__getitem__)


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", help="beginning of the names of the recipes in benchmarks/recipes")
    parser.add_argument("--recipes", nargs="+", default=["late_linear", "fusion"], help="ends of their names")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--val-only", action="store_true", help="do not evaluate test, while recipes are being chosen")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    recipes = {f"{options.set}_{end}": Recipe.load(RECIPES / f"{options.set}_{end}.yaml") for end in options.recipes}
    first: Any = next(iter(recipes.values()))
    table, metric = load_table(first.data), first.metric
    best = cross_validated(table, recipes, options, metric)
    if options.val_only:
        return
    dataset = table.undivided()
    print(f"\ntest, trained on train and val, {options.seeds} seeds, mean +- sd")
    results = []
    for seed in range(options.seeds):
        values = log_probabilities(dataset, dataset.test, seed=seed, wanted=best)[best]
        results.append(judged(torch.from_numpy(values), dataset.test, dataset, metric))
    print(f"  {best:<28} {joined(results)}")
    for name, recipe in recipes.items():
        networks = [train_network(recipe, dataset, seed=seed, device=CPU).network for seed in range(options.seeds)]
        logits = [predict_logits(network, dataset.test, device=CPU) for network in networks]
        macs = expected_macs(networks[0], dataset)
        results = [judged(one, dataset.test, dataset, metric) for one in logits]
        print(f"  {name:<28} {joined(results)}, {macs:,} MACs")


if __name__ == "__main__":
    main()
