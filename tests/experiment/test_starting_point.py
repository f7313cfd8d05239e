"""Fine-tuning on other data: what of the preprocessing is kept, and that evaluation and prediction know of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import nasfuse
from nasfuse.errors import InvalidInputError, RunFolderError
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.starting_point import StartingPoint
from nasfuse.spec.ensemble import EnsembleRecipe
from nasfuse.spec.recipe import Recipe

CPU = torch.device("cpu")
MODALITIES = {
    "facts": {"kind": "table", "columns": {"price": "number"}},
    "more": {"kind": "table", "columns": {"size": "number"}},
    "title": {"kind": "text", "length": 6},
}


def write(path, *, n_rows=60, offset=0.0, word="cap", kinds=("a", "b"), seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n_rows) % len(kinds)
    frame = {
        "price": rng.normal(size=n_rows) + 4 * codes + offset,
        "size": rng.normal(size=n_rows) + offset,
        "title": [f"a nice {word} {'yes' if code else 'no'}" for code in codes],
        "kind": np.array(kinds)[codes],
        "split": np.array(["train", "train", "train", "val", "test"])[np.arange(n_rows) // len(kinds) % 5],
    }
    pd.DataFrame(frame).to_csv(path, index=False)


def recipe(path, *, modalities=None, **training):
    stream = {"encoder": "mlp", "depth": 1, "width": 8}
    return Recipe.parse(
        {
            "data": {"source": str(path), "modalities": modalities or MODALITIES, "target": "kind"},
            "network": {
                "route": list(MODALITIES),
                "streams": dict.fromkeys(MODALITIES, stream),
                "fusion": {"kind": "concat", "placement": 1, "width": 8},
            },
            "training": {"epochs": 6, "lr": 0.02, "batch_size": 16, **training},
        }
    )


def train(what, folder, start=None, announce=None):
    result = train_recipe(
        what, folder, n_seeds=1, seed=0, device=CPU, report=lambda *_: None, start=start, announce=announce
    )
    return result.seeds[0]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The network file of a first training."""
    folder = tmp_path_factory.mktemp("old")
    write(folder / "old.csv")
    return train(recipe(folder / "old.csv"), folder / "out").checkpoint


@pytest.fixture(scope="module")
def start(old):
    return StartingPoint.read(Path(old))


@pytest.fixture
def new(tmp_path):
    """Another file: other units, another word, and a third class."""
    write(tmp_path / "new.csv", offset=10.0, word="mug", kinds=("a", "b", "c"), seed=1)
    return tmp_path / "new.csv"


def test_equal_descriptions_keep_preprocessing_and_scales(start, new):
    entries = {**MODALITIES, "more": {"kind": "table", "columns": {"size": "number", "price": "number"}}}
    config = recipe(new, modalities=entries).data
    dataset = start.dataset(config, division=0)
    assert dataset.preprocessing.transforms["title"].vocabulary.words == ("a", "cap", "nice", "no", "yes")
    assert torch.equal(dataset.scales["facts"].mean, start.saved.scales["facts"].mean)
    prices = pd.read_csv(new).query("split == 'val'")["price"].to_numpy()
    expected = (prices - start.saved.scales["facts"].mean.item()) / start.saved.scales["facts"].std.item()
    found = dataset.val.batch(torch.arange(len(dataset.val)), names=("facts",)).inputs["facts"]
    assert np.allclose(found[:, 0], expected, atol=1e-5)
    own = dataset.train.batch(torch.arange(len(dataset.train)), names=("more",)).inputs["more"]
    assert own.shape[1] == 2
    assert own.mean(dim=0).abs().max() < 1e-5, "another description, so it is fitted to the new data"


def test_the_sentence_counts_weights_and_names_the_preprocessing(start, new):
    text = start.summary(recipe(new), start.dataset(recipe(new).data, division=0))
    assert f" start from {start.saved.path}; new are branch.head." in text
    assert text.endswith("(the targets are others). Of the preprocessing, that of facts, more, title is kept")
    other = recipe(new, modalities={**MODALITIES, "title": {"kind": "text", "length": 5}})
    text = start.summary(other, start.dataset(other.data, division=0))
    assert text.endswith("that of facts, more is kept and that of title is fitted to these data")


def test_from_training_to_evaluation_and_prediction(start, new, tmp_path):
    """The new network stands alone, with the scales and the words of the old one."""
    said = []
    result = train(recipe(new), tmp_path / "out", start, said.append)
    assert len(said) == 1
    judged = evaluate_checkpoint(tmp_path / "out/seed0/model.pt", device=CPU)
    assert judged["value"] == result.test
    assert "warning" not in judged
    network = nasfuse.load_network(result.checkpoint)
    test = pd.read_csv(new).query("split == 'test'")
    assert np.mean(np.array(network.predict(test)) == test["kind"].to_numpy()) == pytest.approx(result.test)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(new.read_bytes())
    judged = evaluate_checkpoint(tmp_path / "out/seed0/model.pt", device=CPU, source=str(copy))
    assert judged["value"] == result.test


def test_a_finished_training_is_not_run_again_and_belongs_to_its_start(start, new, tmp_path):
    what = recipe(new, epochs=1)
    first = train(what, tmp_path / "out", start)
    assert json.loads((tmp_path / "out/seed0/result.json").read_text())["start"] == start.fingerprint
    assert train(what, tmp_path / "out", start) == first
    other = replace(start, fingerprint="another one")
    with pytest.raises(RunFolderError, match=r"seed0 holds a network that started from other weights \(--init\)"):
        train(what, tmp_path / "out", other)


def test_the_same_data_start_with_the_metric_of_the_network(start, tmp_path):
    """With next to no learning rate nothing changes: head and scale of the targets are taken, too."""
    same = start.saved.recipe.model_copy(update={"training": recipe("x", epochs=1, lr=1e-9).training})
    assert train(same, tmp_path / "out", start).test == start.saved.test_metric


def test_ensembles_are_refused(start, new):
    one = recipe(new).to_plain()
    member = {key: one[key] for key in ("network", "training")}
    ensemble = EnsembleRecipe.parse({"data": one["data"], "ensemble": [member, member]})
    with pytest.raises(InvalidInputError, match=r"^--init: an ensemble has several networks; train its members"):
        start.summary(ensemble, start.dataset(ensemble.data, division=0))
