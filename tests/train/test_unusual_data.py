"""Networks on data that are unusual but right: one pixel, sequences without steps, huge and constant numbers."""

import numpy as np
import pandas as pd
import pytest
import torch

from nasfuse.data import as_raw, described_table
from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.spec.recipe import Recipe
from nasfuse.train import train_network

N = 60


def steps(*, dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(row % 4, 2)).astype(dtype) for row in range(N)]


@pytest.mark.parametrize(
    ("kind", "values", "encoder"),
    [
        ("image", [np.full((1, 1, 3), row, np.uint8) for row in range(N)], "conv"),
        ("image", [np.full((1, 1, 3), row, np.uint8) for row in range(N)], "transformer"),
        ("sequence", steps(), "transformer"),
        ("sequence", steps(dtype=np.float16), "conv"),
        ("sequence", steps(dtype=">f4"), "mlp"),
        ("sequence", steps(), "linear"),
        ("sequence", [list(range(row % 3)) for row in range(N)], "conv"),
        ("text", ["", None, "a word"] * (N // 3), "transformer"),
        ("text", [f"only{row}" for row in range(N)], "linear"),
        ("table", 1e30 * np.arange(N), "mlp"),
        ("table", np.full(N, 7.0), "linear"),
        ("table", [None] * (N - 1) + [3], "mlp"),
    ],
)
def test_it_trains(kind, values, encoder):
    frame = pd.DataFrame({"x": list(values), "label": ["größer", "b"] * (N // 2)})
    entry = {"kind": "table", "columns": ["x"]} if kind == "table" else kind
    plain = expand_modalities({"data": {"source": "x", "modalities": {"x": entry}, "target": "label"}})["data"]
    dataset = described_table(as_raw(frame), DataConfig.parse(plain)).divided(0)
    stream = {"encoder": encoder} if encoder == "linear" else {"encoder": encoder, "width": 4, "depth": 1}
    recipe = Recipe.parse(
        {
            "data": {"source": "x"},
            "network": {"route": ["x"], "streams": {"x": stream}},
            "training": {"epochs": 1, "batch_size": 16},
        }
    )
    trained = train_network(recipe, dataset, seed=0, device=torch.device("cpu"))
    assert np.isfinite(trained.chosen.val_metric)
