"""Weights of classes by the rules of recipes."""

import pytest
import torch

from nasfuse.domain.modality import Task
from nasfuse.train.class_weights import class_weights

TARGETS = {
    "multiclass": (torch.tensor([0, 0, 0, 1]), 2),
    "multilabel": (torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), 2),
    "segmentation": (torch.tensor([[[0, 0], [0, 1]], [[0, 0], [0, 0]]], dtype=torch.uint8), 2),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_root_balanced_is_between_none_and_balanced(kind):
    targets, n_outputs = TARGETS[kind]
    task = Task(kind, n_outputs, (2, 2) if kind == "segmentation" else None)
    balanced, root = (class_weights(rule, targets, task) for rule in ("balanced", "root_balanced"))
    assert torch.allclose(root**2, balanced)
    assert class_weights("none", targets, task) is None
