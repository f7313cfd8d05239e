"""Where the running training of a trial is, and its curve, from the files of its folder."""

import json
from pathlib import Path

from nasfuse.spec.recipe import Recipe


def training_position(folder: Path, recipe: Recipe) -> str:
    """Returns the epoch that the training of a trial is in, and with cross-validation the fold or folds, from 1.

    After its last epoch a training is measured.

    Args:
        folder: Folder of the trial.
        recipe: Recipe of the trial.
    """
    epochs = recipe.training.epochs
    validation = recipe.data.validation
    if validation is None:
        return _epoch(folder, epochs)
    folds = range(validation.n_trainings)
    left = [k for k in folds if not (folder / f"fold{k}" / "model.pt").is_file()]
    if not left:
        return "measuring"
    together = [k for k in left if (folder / f"fold{k}").is_dir()]
    numbers = f"fold {left[0] + 1}" if len(together) < 2 else f"folds {together[0] + 1}-{together[-1] + 1}"
    return f"{numbers}/{len(folds)}, {_epoch(folder / f'fold{left[0]}', epochs)}"


def running_curve(folder: Path) -> list[float]:
    """Returns the metric after each epoch so far, of the newest fold with cross-validation; empty before the first."""
    files = sorted(folder.glob("**/metrics.jsonl"), key=lambda file: file.stat().st_mtime)
    try:
        lines = files[-1].read_text(encoding="utf-8").splitlines() if files else []
        values = [json.loads(line)["val_metric"] for line in lines]
    except (OSError, ValueError, KeyError):  # it is being written by another version
        return []
    return [value for value in values if value is not None]


def epochs_so_far(folder: Path) -> int:
    """Returns the number of epochs that the training in the folder of a trial has run, over all folds."""
    return sum(_n_epochs(file.parent) for file in folder.glob("**/metrics.jsonl"))


def _epoch(folder: Path, epochs: int) -> str:
    n_done = _n_epochs(folder)
    return "measuring" if n_done >= epochs else f"epoch {n_done + 1}/{epochs}"


def _n_epochs(folder: Path) -> int:
    try:
        return len((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    except OSError:  # before the first epoch has ended
        return 0
