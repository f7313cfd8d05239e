"""What a default search reaches in ten minutes on two cores, beside models of scikit-learn.

For each data set, the study in `benchmarks/studies/default` (five lines, space `full`) is searched. Its best point is
exported and trained with each seed, on train and val together where it has no router, and evaluated on test once. The
models of scikit-learn (`MODELS`) read single modalities, their concatenation, and all modalities with averaged
log-probabilities. The one that is best on val, by the metric that the study selects by, is trained on train and val,
and evaluated on test once. Images larger than 28 x 28 are averaged to at most 16 x 16 for them; other inputs are those
of `benchmarks/floor.py`.

    python benchmarks/default_search.py rosmap hapt avmnist_rc easy_vqa avdigits digits
    python benchmarks/default_search.py --table

Results are kept in `runs/default_<set>`, so an interrupted run of this script continues; `--table` prints them.
"""

import argparse
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from floor import Array, features, judged, spread
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from nasfuse.data import Dataset, Split
from nasfuse.data.sources.registry import divided, load_table
from nasfuse.domain.metric import METRICS
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

ROOT = Path(__file__).parents[1]
STUDIES = {path.stem: path for path in sorted((ROOT / "benchmarks/studies/default").glob("*.yaml"))}
RUNS = ROOT / "runs"
#: Largest side of an image that the models of scikit-learn read unchanged, and the side of larger ones.
LARGEST_SIDE, SMALL_SIDE = 28, 16

#: Models by name, from a seed.
MODELS: dict[str, Callable[[int], ClassifierMixin]] = {
    "LR": lambda seed: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200)),
    "RF": lambda seed: RandomForestClassifier(200, random_state=seed),
    "GB": lambda seed: HistGradientBoostingClassifier(max_iter=60, early_stopping=True, random_state=seed),
    "MLP": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier((64,), early_stopping=True, max_iter=100, random_state=seed)
    ),
}


def small_features(dataset: Dataset, split: Split) -> dict[str, Array]:
    """Returns (n, F) of each modality, see `floor.features`, with large images averaged."""
    found = features(dataset, split)
    for modality in dataset.modalities:
        if modality.kind == "image" and max(modality.shape[1:]) > LARGEST_SIDE:
            images = torch.from_numpy(found[modality.name].astype(np.float32)).reshape(-1, *modality.shape)
            found[modality.name] = F.adaptive_avg_pool2d(images, SMALL_SIDE).flatten(1).double().numpy()
    return found


def predictions(dataset: Dataset, split: Split, *, seed: int, only: str | None = None) -> dict[str, Tensor]:
    """Returns (n, classes) log-probabilities of every model and arrangement, or of the one called `only`."""
    train, other = small_features(dataset, dataset.train), small_features(dataset, split)
    inputs = {name: (train[name], other[name]) for name in train}
    inputs["concat"] = (np.hstack(list(train.values())), np.hstack(list(other.values())))
    found: dict[str, Tensor] = {}
    for model, make in MODELS.items():
        wanted = {f"{model}: late"} | {f"{model}: {name}" for name in inputs}
        if only is not None and only not in wanted:
            continue
        for name, (fitted, shown) in inputs.items():
            if only in (None, f"{model}: {name}") or (only == f"{model}: late" and name in train):
                classifier = make(seed).fit(fitted, dataset.train.targets.numpy())
                found[f"{model}: {name}"] = torch.from_numpy(np.log(np.clip(classifier.predict_proba(shown), 1e-12, 1)))
        if only in (None, f"{model}: late"):
            found[f"{model}: late"] = torch.stack([found[f"{model}: {name}"] for name in train]).mean(dim=0)
    return found


def control(study: StudyConfig, *, n_seeds: int) -> dict[str, Any]:
    """Returns the model of scikit-learn that is best on val (the mean over the folds), and its metric on test.

    The best is that with the best `select_by` of the study, as in the search.
    """
    table = load_table(study.data)
    n_folds = study.data.validation.folds if study.data.validation else 1
    metrics: dict[str, list[float]] = {}
    for number in range(n_folds):
        dataset = divided(table, study.data, division=number)
        for name, values in predictions(dataset, dataset.val, seed=number).items():
            metrics.setdefault(name, []).append(judged(values, dataset.val, dataset, study.objective)[study.objective])
    val = {name: float(np.mean(values)) for name, values in metrics.items()}
    best = min(val, key=lambda name: METRICS[study.objective].sign * val[name])
    dataset = table.undivided()
    tests = []
    for seed in range(n_seeds):
        values = predictions(dataset, dataset.test, seed=seed, only=best)[best]
        tests.append(judged(values, dataset.test, dataset, study.metric)[study.metric])
    return {"name": best, "val": val, "test": tests}


def nasfuse(*arguments: str | Path) -> str:
    """Returns the standard output of a command."""
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def searched(study_file: Path, run: Path, *, n_seeds: int) -> dict[str, Any]:
    """Searches, exports the best point and trains it; returns what `train --json` prints."""
    nasfuse("search", study_file, "-o", run, "--workers", "2")
    recipe = run / "best.yaml"
    nasfuse("export", run, "--pick", "best", "-o", recipe)
    read = Recipe.load(recipe)
    refit = [] if read.network.router is not None or read.data.validation is not None else ["--refit"]
    trained: dict[str, Any] = json.loads(
        nasfuse("train", recipe, "--seeds", str(n_seeds), *refit, "-o", run / "best", "--json")
    )
    return trained


def print_table() -> None:
    """Prints a row of Markdown for every data set that has results."""
    print("| set | metric | nasfuse, test | MACs | scikit-learn, test | chosen of scikit-learn on val |")
    print("|---|---|---|---|---|---|")
    for name, path in STUDIES.items():
        files = RUNS / f"default_{name}.json", RUNS / f"default_{name}.controls.json"
        if all(file.is_file() for file in files):
            trained, other = (json.loads(file.read_text()) for file in files)
            own = spread([seed["test"] for seed in trained["seeds"]])
            metric = StudyConfig.load(path).metric
            print(f"| {name} | {metric} | {own} | {trained['macs']:,} | {spread(other['test'])} | {other['name']} |")


def main() -> None:
    """Runs or prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sets", nargs="*", choices=[*STUDIES, []], help="names of studies in benchmarks/studies/default"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the table of all results so far")
    parser.add_argument("--controls-only", action="store_true", help="no search")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in options.sets:
        study, run = StudyConfig.load(STUDIES[name]), RUNS / f"default_{name}"
        file = RUNS / f"default_{name}.controls.json"
        if not options.controls_only:
            (RUNS / f"default_{name}.json").write_text(
                json.dumps(searched(STUDIES[name], run, n_seeds=options.seeds), indent=1)
            )
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(control(study, n_seeds=options.seeds), indent=1))
    if options.table:
        print_table()


if __name__ == "__main__":
    main()
