"""The objective of every real search: what it measures, and the files it leaves."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from nasfuse.backends.beginning import take_begun
from nasfuse.cost import count_parameters
from nasfuse.data import load_table
from nasfuse.data.mapped_table import share_table
from nasfuse.data.sources.registry import data_file
from nasfuse.errors import NonFiniteError
from nasfuse.experiment import objective as objective_module
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.space_survey import macs_of
from nasfuse.experiment.training_files import read_curve
from nasfuse.nn import build_network
from nasfuse.spec.data import DataConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.train import load_checkpoint

RECIPE = Recipe.parse(
    {
        "data": {"source": "digits"},
        "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp", "depth": 1, "width": 8}}},
        "training": {"epochs": 2, "lr": 0.01},
    }
)


def ignore(epoch, metric):
    """Training goes on."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial") / "0"
    return Training()(RECIPE, seed=3, division=0, folder=folder, report=ignore, weight_sources={}), folder


def test_it_can_be_sent_to_workers():
    assert pickle.loads(pickle.dumps(Training(threads=2))) == Training(threads=2)


def test_a_worker_needs_only_the_shared_data(tmp_path, monkeypatch):
    """A worker has another working folder and another `$NASFUSE_DATA` than the driver, and perhaps another file."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "mine.npz", a=rng.normal(size=(60, 3)), y=rng.integers(0, 2, 60))
    plain = {
        "data": {"source": "mine.npz", "modalities": {"a": "vector"}},
        "network": {"route": ["a"], "streams": {"a": {"encoder": "mlp", "depth": 1, "width": 4}}},
        "training": {"epochs": 1},
    }
    recipe = Recipe.parse(plain)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASFUSE_DATA", "data")
    assert data_file(recipe.data) == tmp_path / "data" / "mine.npz"
    share_table(load_table(recipe.data), tmp_path / "shared")
    (tmp_path / "data" / "mine.npz").unlink()
    monkeypatch.chdir("/")
    monkeypatch.delenv("NASFUSE_DATA")
    training = Training(shared_table=tmp_path / "shared")
    measured = training(recipe, seed=0, division=0, folder=tmp_path / "trial", report=ignore, weight_sources={})
    assert measured.record["recipe_hash"] == recipe.hash
    assert load_checkpoint(tmp_path / "trial" / "model.pt")["recipe"] == recipe.to_plain()


def test_shipped_data_needs_no_file():
    assert data_file(RECIPE.data) is None


def test_what_is_measured(trained):
    measurements, _ = trained
    dataset = cached_dataset(RECIPE.data.model_dump_json())
    (point,) = measurements.points
    assert point.macs == macs_of(RECIPE, dataset), "known before it is trained"
    assert point.params == count_parameters(build_network(RECIPE.network, dataset.modalities, dataset.task))
    assert 0.1 < point.metric < 1
    assert point.latency_s > 0
    assert point.peak_bytes > 0


def test_the_record(trained):
    record = trained[0].record
    assert record["seed"] == 3
    assert record["recipe_hash"] == RECIPE.hash
    assert (record["epochs"], record["epochs_asked"]) == (2, 2)
    assert record["torch"] == torch.__version__
    assert {"nasfuse", "python", "device", "threads", "wall_s", "data_fingerprint", "status"} <= set(record)
    json.dumps(trained[0].to_plain())


def test_the_files(trained):
    measurements, folder = trained
    assert {path.name for path in folder.iterdir()} == {"model.pt", "metrics.jsonl"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    content = load_checkpoint(folder / "model.pt")
    assert Recipe.parse(content["recipe"]) == RECIPE
    assert content["val_metric"] == measurements.points[0].metric


def test_a_shortened_training_is_measured(tmp_path):
    recipe = RECIPE.model_copy(update={"training": RECIPE.training.model_copy(update={"epochs": 10_000})})
    arguments = {"seed": 3, "division": 0, "folder": tmp_path, "report": ignore, "weight_sources": {}}
    measurements = Training()(recipe, ends_s=0.5, **arguments)
    record = measurements.record
    assert record["status"] == "shortened"
    assert 1 <= record["epochs"] < record["epochs_asked"] == 10_000
    curve = read_curve(tmp_path / "metrics.jsonl")
    assert len(curve) == record["epochs"] == record["chosen_epoch"]
    assert measurements.points[0].metric == pytest.approx(curve[-1].val_metric)
    assert not (tmp_path / "resume.pt").exists()


def test_the_same_seed_gives_the_same_network(trained, tmp_path):
    again = Training()(RECIPE, seed=3, division=0, folder=tmp_path, report=ignore, weight_sources={})
    other = Training()(RECIPE, seed=4, division=0, folder=tmp_path / "other", report=ignore, weight_sources={})
    assert again.points[0].metric == trained[0].points[0].metric
    weights = [load_checkpoint(folder / "model.pt")["network"] for folder in (trained[1], tmp_path, tmp_path / "other")]
    name = next(iter(weights[0]))
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])
    assert other.record["seed"] == 4


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_no_network(tmp_path):
    wild = Recipe.parse({**RECIPE.to_plain(), "training": {"epochs": 2, "lr": 1e38, "clip_norm": 1e38}})
    with pytest.raises(NonFiniteError):
        Training()(wild, seed=0, division=0, folder=tmp_path, report=ignore, weight_sources={})
    assert not (tmp_path / "model.pt").exists()


def test_a_training_that_is_killed_while_it_is_measured_is_not_run_again(tmp_path, monkeypatch):
    def kill(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    for name in ("measure", "save_network"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"^$"):
            patch.setattr(objective_module, name, kill)
            Training()(RECIPE, seed=3, division=0, folder=tmp_path, report=ignore, weight_sources={})
        assert (tmp_path / "resume.pt").exists()
    monkeypatch.setattr("nasfuse.train.loop._Run.one_epoch", lambda _: pytest.fail("trained again"))
    Training()(RECIPE, seed=3, division=0, folder=tmp_path, report=ignore, weight_sources={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "model.pt"]


@pytest.mark.parametrize(("trains", "data"), [("train_network", {}), ("train_folds", {"validation": {"folds": 2}})])
def test_a_training_begins_with_its_network_and_not_with_its_data(tmp_path, monkeypatch, trains, data):
    """A process that dies while it reads the data says nothing about the network."""
    plain = RECIPE.to_plain()
    recipe = Recipe.parse({**plain, "data": {**plain["data"], **data}})
    had_begun = {}

    def read(*arguments):
        had_begun["data"] = take_begun(tmp_path)
        return cached_dataset(*arguments)

    def train(*_, **__):
        had_begun["network"] = take_begun(tmp_path)
        raise MemoryError("too large")

    monkeypatch.setattr(objective_module, "cached_dataset", read)
    monkeypatch.setattr(objective_module, trains, train)
    with pytest.raises(MemoryError, match="too large"):
        Training()(recipe, seed=3, division=0, folder=tmp_path, report=ignore, weight_sources={})
    assert had_begun == {"data": False, "network": True}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off"])
def test_damaged_progress_is_started_again(tmp_path, trained, damage):
    (tmp_path / "resume.pt").write_bytes(damage)
    again = Training()(RECIPE, seed=3, division=0, folder=tmp_path, report=ignore, weight_sources={})
    assert again.points[0].metric == trained[0].points[0].metric
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "model.pt"]


def test_a_worker_loads_its_data_once_and_its_divisions_share_the_values(monkeypatch):
    loads = []
    load = objective_module.load_table
    monkeypatch.setattr(objective_module, "load_table", lambda config: loads.append(config) or load(config))
    for cache in (objective_module._dataset, objective_module._table):
        cache.cache_clear()
    data = RECIPE.data.model_dump_json()
    divisions = [cached_dataset(data, number) for number in (0, 1, 2)]
    assert cached_dataset(data, 1) is divisions[1]
    assert loads == [RECIPE.data]
    assert divisions[0].fingerprint != divisions[1].fingerprint
    for name in ("left", "right"):
        stored = [
            division.split(part).columns[name].values for division in divisions for part in ("train", "val", "test")
        ]
        assert {values.untyped_storage().data_ptr() for values in stored} == {stored[0].untyped_storage().data_ptr()}
        assert len(stored[0]) == sum(len(divisions[0].split(part)) for part in ("train", "val", "test"))
    for cache in (objective_module._dataset, objective_module._table):
        cache.cache_clear()


def test_a_file_that_has_changed_is_read_again(tmp_path):
    config = DataConfig(source=str(tmp_path / "a.npz"), modalities={"a": {"kind": "vector"}}).model_dump_json()
    found = []
    for n_samples in (60, 70):
        values = np.random.default_rng(0).normal(size=(n_samples, 3))
        np.savez(tmp_path / "a.npz", a=values, y=np.arange(n_samples) % 2)
        found.append(cached_dataset(config))
    assert found[0].fingerprint != found[1].fingerprint
    assert cached_dataset(config) is found[1]


def test_a_worker_imports_no_study():
    """Every worker of a search pays for the imports of its objective, and reads no study."""
    code = (
        "import sys, nasfuse.backends.objective, nasfuse.experiment.objective\n"
        "print({'optuna', 'sqlalchemy', 'matplotlib', 'sklearn', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
