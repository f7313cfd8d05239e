"""From texts through a frozen encoder to a network file and predictions for new rows."""

import shutil

import pytest

import nasfuse
from nasfuse.data import load_table
from nasfuse.data.columns.frozen_features import _kept_load
from nasfuse.data.mapped_table import share_table
from nasfuse.errors import DataError, MissingFileError
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.objective import Training
from nasfuse.prediction import read_network
from nasfuse.spec.recipe import Recipe
from tests.prediction.conftest import CPU
from tests.tiny_encoder import MACS, TinyEncoder, encoder_folder

__all__ = ["encoder_folder"]


@pytest.fixture
def trained(encoder_folder, tmp_path):
    """The network file and its measurements: a text with more a than b is `a`, another one `b`."""
    texts = [("a" * (1 + row % 4) + "b" * (row // 4 % 2), "a") for row in range(40)]
    texts += [("b" * (1 + row % 4) + "c" * (row // 4 % 2), "b") for row in range(40)]
    lines = [f"{text} {text},{row % 7},{label}" for row, (text, label) in enumerate(texts)]
    (tmp_path / "mine.csv").write_text("\n".join(["title,size,y", *lines]))
    modalities = {"title": {"kind": "text_features", "folder": str(encoder_folder)}, "size": {"kind": "vector"}}
    stream = {"encoder": "mlp", "depth": 1, "width": 4}
    recipe = Recipe.parse(
        {
            "data": {"source": str(tmp_path / "mine.csv"), "modalities": modalities},
            "network": {
                "route": ["title", "size"],
                "streams": dict.fromkeys(modalities, stream),
                "fusion": {"kind": "concat", "placement": 1, "width": 4},
            },
            "training": {"epochs": 2, "lr": 0.02},
        }
    )
    measured = Training()(
        recipe, seed=0, division=0, folder=tmp_path / "out", report=lambda *_: None, weight_sources={}
    )
    _kept_load.cache_clear()
    yield tmp_path / "out" / "model.pt", measured
    _kept_load.cache_clear()


def test_its_cost_is_counted_apart_and_its_features_are_computed_once(trained, tmp_path):
    path, measured = trained
    (point,) = measured.points
    assert point.outside_macs == 2 * MACS  # all texts have two words
    assert point.total_macs == point.macs + 2 * MACS
    n_before = TinyEncoder.n_encoded()
    judged = evaluate_checkpoint(path, device=CPU, split="test")
    assert judged["outside_macs"] == 2 * MACS
    assert TinyEncoder.n_encoded() == n_before, "those of the file are kept beside it"
    assert (tmp_path / ".nasfuse" / "features").is_dir()


def test_a_final_training_counts_it_apart(trained, tmp_path):
    recipe = read_network(trained[0], device=CPU).recipe
    result = train_recipe(recipe, tmp_path / "final", n_seeds=1, seed=0, device=CPU, report=lambda *_: None)
    assert result.to_plain()["outside_macs"] == result.outside_macs == 2 * MACS
    assert result.macs == trained[1].points[0].macs


def test_workers_compute_no_features(trained, tmp_path):
    path, measured = trained
    recipe = read_network(path, device=CPU).recipe
    share_table(load_table(recipe.data), tmp_path / "shared")
    n_before = TinyEncoder.n_encoded()
    shutil.rmtree(tmp_path / ".nasfuse")
    again = Training(shared_table=tmp_path / "shared")(
        recipe, seed=0, division=0, folder=tmp_path / "again", report=lambda *_: None, weight_sources={}
    )
    assert TinyEncoder.n_encoded() == n_before
    assert (again.points[0].metric, again.points[0].outside_macs) == (measured.points[0].metric, 2 * MACS)


def test_new_rows(trained, encoder_folder, tmp_path, monkeypatch):
    path, _ = trained
    network = nasfuse.load_network(path)
    rows = {"title": ["aaa aaa", "aa", "cbb", "bbbb bbbb"], "size": [1, 2, 3, 4]}
    found = network.predict_proba(rows)
    (tmp_path / "new.csv").write_text("title,size\naaa aaa,1\naa,2\ncbb,3\nbbbb bbbb,4\n")
    assert network.predict_proba(tmp_path / "new.csv").tolist() == found.tolist()
    n_before = TinyEncoder.n_encoded()
    assert network.predict_proba(tmp_path / "new.csv").tolist() == found.tolist()
    assert TinyEncoder.n_encoded() == n_before

    shutil.move(encoder_folder, tmp_path / "elsewhere")
    with pytest.raises(
        MissingFileError, match=r"^modality title: there is no folder \S+tiny of a frozen encoder; corr"
    ):
        network.predict(rows)
    shutil.move(tmp_path / "elsewhere", tmp_path / "tiny")
    monkeypatch.setenv("NASFUSE_MODELS", str(tmp_path))
    assert network.predict_proba(rows).tolist() == found.tolist()
    (tmp_path / "tiny" / "more.json").write_text("{}")
    with pytest.raises(DataError, match=r"^modality title: \S+tiny has another frozen encoder"):
        network.predict(rows)
