"""Does a piecewise-linear embedding of numbers pay for linear models? Cross-validated, beside the plain numbers.

    NASFUSE_DATA=... python benchmarks/numeric_embeddings.py wine breast_cancer diabetes mrna meth mirna hapt

The embedding is that of Gorishniy et al. (2022, section 3.2) with bins at quantiles of the training samples,
standardised. Models are logistic regression, or ridge regression for diabetes. Sets: three of scikit-learn, the three
modalities of `rosmap`, and `hapt`, of which the mean, deviation, minimum and maximum of every channel are the numbers.
Test splits are not read.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, f1_score, r2_score
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

Array = NDArray[np.float64]
PLAIN = ("wine", "breast_cancer", "diabetes")
OMICS = ("mrna", "meth", "mirna")


class PiecewiseLinear(StandardScaler):
    """Share of each bin that lies below a number, standardised; linear beyond the first and the last bin."""

    def __init__(self, n_bins: int) -> None:
        """Keeps the number of bins of every feature."""
        super().__init__()
        self.n_bins = n_bins

    def fit(self, numbers: Array, targets: object = None) -> "PiecewiseLinear":
        """Sets the bins to quantiles of `numbers` (n, F)."""
        self.edges_ = np.quantile(numbers, np.linspace(0, 1, self.n_bins + 1), axis=0)
        super().fit(self._encoded(numbers))
        return self

    def transform(self, numbers: Array) -> Array:
        """Returns the (n, F n_bins) encoding."""
        return np.clip(super().transform(self._encoded(numbers)), -5, 5)

    def _encoded(self, numbers: Array) -> Array:
        low, width = self.edges_[:-1], np.diff(self.edges_, axis=0)
        shares = (numbers[:, None] - low) / np.where(width > 1e-6, width, np.inf)
        least, most = np.zeros((self.n_bins, 1)), np.ones((self.n_bins, 1))
        least[0], most[-1] = -np.inf, np.inf
        return np.clip(shares, least, most).reshape(len(numbers), -1)


def load(name: str) -> tuple[Array, NDArray[np.int64], NDArray[np.int64] | None]:
    """Returns numbers (n, F), targets (n,) and groups (n,) of the samples outside test."""
    if name in PLAIN:
        return (*getattr(datasets, f"load_{name}")(return_X_y=True), None)
    content = np.load(Path(os.environ["NASFUSE_DATA"]) / ("rosmap.npz" if name in OMICS else "hapt.npz"))
    kept = content["split"] != "test"
    if name in OMICS:
        return content[name][kept].astype(float), content["y"][kept], None
    channels = np.concatenate([content["acc"], content["gyro"]], axis=2)[kept].astype(float)
    statistics = [channels.mean(1), channels.std(1), channels.min(1), channels.max(1)]
    return np.concatenate(statistics, axis=1), content["y"][kept], content["user"][kept]


def cross_validated(name: str, embedding: object, model: object) -> list[float]:
    """Returns accuracy, macro-F1 (hapt) or r2 (diabetes) of predictions pooled over five folds, for two divisions."""
    numbers, targets, groups = load(name)
    splitter = {"diabetes": KFold, "hapt": StratifiedGroupKFold}.get(name, StratifiedKFold)
    found = []
    for division in range(2):
        predicted = np.zeros(len(targets))
        for train, val in splitter(5, shuffle=True, random_state=division).split(numbers, targets, groups):
            pipeline = make_pipeline(StandardScaler(), clone(embedding), clone(model))
            predicted[val] = pipeline.fit(numbers[train], targets[train]).predict(numbers[val])
        if name == "diabetes":
            found.append(float(r2_score(targets, predicted)))
        elif name == "hapt":
            found.append(float(f1_score(targets, predicted, average="macro")))
        else:
            found.append(float(accuracy_score(targets, predicted)))
    return found


def main() -> None:
    """Prints one line per set, embedding and regularisation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=[*PLAIN, *OMICS, "hapt"])
    for name in parser.parse_args().sets:
        models = {"": RidgeCV(np.logspace(-1, 4, 11))}
        if name != "diabetes":
            models = {f"C {c:g}": LogisticRegression(C=c, max_iter=200) for c in (0.01, 0.1, 1.0)}
        for label, model in models.items():
            for n_bins in (None, 4, 8):
                embedding = PiecewiseLinear(n_bins) if n_bins else FunctionTransformer()
                values = cross_validated(name, embedding, model)
                shown = f"{n_bins} bins" if n_bins else "plain"
                print(
                    f"{name:>14} {label:>7} {shown:>7} {np.mean(values):.4f}  ({values[0]:.4f}, {values[1]:.4f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
