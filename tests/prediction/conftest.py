"""Trained networks of a few samples, each trained once."""

import numpy as np
import pytest
import torch

from nasfuse.data import load_dataset
from nasfuse.experiment.objective import Training
from nasfuse.spec.recipe import Recipe

CPU = torch.device("cpu")

MODALITIES = {
    "v": {"kind": "vector"},
    "s": {"kind": "sequence", "lengths": "n_steps"},
    "q": {"kind": "sequence", "vocabulary": 9},
    "i": {"kind": "image", "index": "which"},
}


def arrays_of(n_samples=60, *, seed=0):
    """Arrays of one modality of each kind; sequences are padded in front, images are shared by samples."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 8, n_samples)
    sequence = rng.normal(size=(n_samples, 7, 2))
    sequence[np.arange(7) < 7 - lengths[:, None]] = 0
    classes = np.arange(n_samples) % 3
    return {
        "v": rng.normal(size=(n_samples, 4)) * 1e6 + 3 * classes[:, None] * 1e6,
        "s": sequence,
        "n_steps": lengths,
        "q": rng.integers(0, 9, (n_samples, 5)),
        "i": rng.integers(0, 256, (n_samples // 2, 6, 5, 3)).astype(np.uint8),
        "which": rng.integers(0, n_samples // 2, n_samples),
        "y": np.array(["ant", "bee", "cat"])[classes],
    }


def stream(encoder, **options):
    return {"encoder": encoder, "depth": 1, "width": 4, **options}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Trains a recipe on the arrays of a file, which is then removed; returns the network file and the data set."""

    def train(network, arrays=None, *, modalities=MODALITIES, padding="left", **changes):
        folder = tmp_path_factory.mktemp("trained")
        file = folder / "data.npz"
        np.savez(file, **(arrays or arrays_of()))
        described = dict(modalities)
        if "s" in described and padding is not None:
            described["s"] = {**described["s"], "padding": padding}
        data = {"source": str(file), "modalities": described, **changes.pop("data", {})}
        training = {"epochs": 2, "lr": 0.01, **changes.pop("training", {})}
        recipe = Recipe.parse({"data": data, "network": network, "training": training, **changes})
        measured = Training()(
            recipe, seed=3, division=0, folder=folder / "out", report=lambda *_: None, weight_sources={}
        )
        dataset = load_dataset(recipe.data)
        file.unlink()
        return folder / "out" / "model.pt", dataset, measured

    return train


@pytest.fixture(scope="session")
def static(trained):
    """A network of all kinds of modalities."""
    streams = {"v": stream("mlp"), "s": stream("conv"), "q": stream("transformer"), "i": stream("conv")}
    fusion = {"kind": "concat", "placement": 1, "width": 4}
    return trained({"route": list(streams), "streams": streams, "fusion": fusion})


@pytest.fixture(scope="session")
def routed(trained):
    """A network with a gate, an equilibrium on its second route, and a swept keep ratio."""
    reducer = {"kind": "average", "keep_ratio": 0.8}
    streams = {"v": stream("mlp"), "s": stream("transformer", reducer=reducer)}
    fusion = {"kind": "equilibrium", "placement": 1, "width": 4, "max_steps": 12}
    router = {"routes": ["v", "v+s"], "width": 4}
    return trained(
        {"route": ["v", "s"], "streams": streams, "fusion": fusion, "router": router},
        training={"epochs": 4, "routing": {"resource_weight": 0.1}},
    )


@pytest.fixture(scope="session")
def sequential(trained):
    """A sequential network of three routes, of which two have equilibria."""
    streams = {name: stream("mlp") for name in ("v", "s", "q")}
    fusion = {"kind": "equilibrium", "placement": 1, "width": 4, "max_steps": 12}
    router = {"kind": "sequential", "routes": ["v", "v+s", "v+s+q"]}
    return trained(
        {"route": ["v", "s", "q"], "streams": streams, "fusion": fusion, "router": router}, training={"epochs": 4}
    )
