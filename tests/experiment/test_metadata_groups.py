"""Figures by the values of columns that are no inputs."""

import numpy as np
import pytest
import torch

from nasfuse.data.metadata import metadata_values
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError, InvalidInputError
from nasfuse.experiment.metadata_groups import GroupFigures, group_figures, measured_digests, raw_metadata
from nasfuse.spec.data import DataConfig

RAW = RawTable(
    "m",
    "m.npz",
    {"day": np.array([True, False, True, True]), "id": np.arange(50), "x": np.zeros((4, 2))},
    None,
)


def test_values_of_the_samples_are_text():
    assert metadata_values(RAW, "day", torch.tensor([1, 3])) == ["False", "True"]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("dya", r"^m\.npz has no array 'dya' \(metadata\); did you mean 'day'\?"),
        ("x", r"^array x of m\.npz does not have one value per sample, so results cannot be shown by it$"),
        ("id", r"^array id of m\.npz has 50 different values, and results can be shown by at most 20; choose another"),
    ],
)
def test_columns_that_tell_no_groups_apart(name, match):
    with pytest.raises(DataError, match=match):
        metadata_values(RAW, name)


def test_a_shipped_data_set_has_none():
    with pytest.raises(InvalidInputError, match=r"^digits is a shipped data set without metadata; leave out day$"):
        raw_metadata(DataConfig(source="digits"), ["day"])


def test_metric_and_macs_of_each_value():
    logits = torch.tensor([[2.0, 0], [0, 2], [2, 0], [0, 2]])
    measured = measured_digests(
        logits, torch.tensor([0, 1, 1, 1]), metric="accuracy", task="multiclass", target_scale=None, macs=7.0
    )
    assert group_figures(["a", "b", "a", "b"], measured) == [
        GroupFigures("a", 2, 0.5, 7.0),
        GroupFigures("b", 2, 1.0, 7.0),
    ]


def test_values_for_which_the_metric_is_undefined_are_left_out():
    logits = torch.tensor([[2.0, 0], [0, 2], [2, 0]])
    measured = measured_digests(
        logits, torch.tensor([0, 1, 1]), metric="auc", task="multiclass", target_scale=None, macs=7.0
    )
    assert [one.value for one in group_figures(["a", "a", "b"], measured)] == ["a"]
