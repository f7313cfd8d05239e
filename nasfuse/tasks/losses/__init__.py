"""Losses of trainings. Everything else in the package asks `training_loss` instead of comparing names."""

from nasfuse.tasks.losses.base import TrainingLoss
from nasfuse.tasks.losses.registry import training_loss

__all__ = ["TrainingLoss", "training_loss"]
