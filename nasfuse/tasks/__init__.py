"""Kinds of task: how targets are checked, what is minimised and predicted, and how sure a prediction is."""

from nasfuse.tasks.base import TaskKind
from nasfuse.tasks.registry import task_kind

__all__ = ["TaskKind", "task_kind"]
