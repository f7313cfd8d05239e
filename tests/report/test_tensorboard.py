"""Curves for TensorBoard, read back with TensorBoard itself."""

import sys

import pytest

from nasfuse.errors import MissingPackageError
from nasfuse.report.tensorboard import TensorBoardCurves
from nasfuse.train import Epoch


def epoch(number, *, metric=0.5):
    return Epoch(epoch=number, train_loss=1 / number, val_loss=None, val_metric=metric, wall_s=1.0)


def scalars(folder, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def test_an_interrupted_training_continues_its_curve(tmp_path):
    for first, last in ((1, 3), (3, 4)):  # epoch 3 is trained again
        curves = TensorBoardCurves(tmp_path, metric="auc")
        for number in range(first, last + 1):
            curves.add(0, epoch(number))
            curves.add(1, epoch(number, metric=None))
        curves.close()
    assert [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)] == scalars(tmp_path / "seed0", "loss/train")
    assert [(number, 0.5) for number in (1, 2, 3, 4)] == scalars(tmp_path / "seed0", "val/auc")
    with pytest.raises(KeyError, match="not found"):
        scalars(tmp_path / "seed1", "val/auc")


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingPackageError, match=r"curves for TensorBoard need the package tensorboard, .*\[tensor"):
        TensorBoardCurves(tmp_path, metric="auc")
