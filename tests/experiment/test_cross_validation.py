"""Recipes with `data.validation`: cross-validated in a search, trained on all samples outside test in the end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nasfuse.data import load_dataset
from nasfuse.errors import CheckpointError, DataError, InvalidInputError
from nasfuse.experiment import objective as objective_module
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.objective import Training, saved_progress
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.prediction import read_network
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import cross_validation, load_checkpoint, train_network
from nasfuse.train.evaluation import predict_logits
from nasfuse.train.metrics import score

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A small recipe for 90 samples, of which 30 are for test, to be validated by three folds, twice."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 2
    values = rng.normal(size=(90, 4)) + labels[:, None]
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    np.savez(path, a=values, y=labels, split=np.array(["train"] * 50 + ["val"] * 10 + ["test"] * 30))
    return Recipe.parse(
        {
            "data": {
                "source": str(path),
                "modalities": {"a": "vector"},
                "validation": {"folds": 3, "repeats": 2},
            },
            "network": {"route": ["a"], "streams": {"a": {"encoder": "mlp", "depth": 1, "width": 4}}},
            "training": {"epochs": 3, "batch_size": 16, "patience": 1},
        }
    )


def ignore(epoch, metric):
    raise AssertionError("nothing is reported")


def search(recipe, folder, *, seed=5, division=0, report=lambda epoch, metric: None):
    return Training()(recipe, seed=seed, division=division, folder=folder, report=report, weight_sources={})


@pytest.fixture(scope="module")
def measured(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    return search(recipe, folder), folder


def test_the_metric_is_that_of_trainings_by_hand(recipe, measured):
    by_division = []
    for division in (0, 1):
        outputs, targets, rows = [], [], []
        for fold in range(3):
            number = 3 * division + fold
            dataset = load_dataset(recipe.data, division=number)
            trained = train_network(recipe, dataset, seed=derive_seed(5, "fold", number), device=CPU)
            assert len(trained.curve) == 3, "patience has no effect"
            outputs.append(predict_logits(trained.network, dataset.val, device=CPU))
            targets.append(dataset.val.targets)
            rows += dataset.val.columns["a"].index.tolist()
        assert sorted(rows) == list(range(60))
        by_division.append(score("accuracy", torch.cat(outputs), torch.cat(targets), task="multiclass"))
    measurements, _ = measured
    assert measurements.points[0].metric == pytest.approx(sum(by_division) / 2)
    assert measurements.record["validation"]["by_division"] == by_division


def test_the_record_and_the_files(recipe, measured):
    measurements, folder = measured
    record = measurements.record
    assert (record["epochs"], record["epochs_asked"], record["status"]) == (18, 18, "complete")
    assert record["validation"]["folds"] == 3
    json.dumps(measurements.to_plain())
    assert sorted(path.name for path in folder.iterdir()) == [f"fold{k}" for k in range(6)]
    for k in range(6):
        place = folder / f"fold{k}"
        assert sorted(path.name for path in place.iterdir()) == ["metrics.jsonl", "model.pt"]
        assert load_checkpoint(place / "model.pt")["division"] == k
    found = evaluate_checkpoint(folder / "fold4" / "model.pt", split="val", device=CPU)
    assert found["value"] == found["val_metric_at_training"]


def test_the_metric_of_the_folds_so_far_is_reported_after_each(recipe, measured, tmp_path):
    reports = []
    again = search(recipe, tmp_path, report=lambda *reported: reports.append(reported))
    assert [epoch for epoch, _ in reports] == [3, 6, 9, 12, 15], "of six folds of three epochs, all but the last"
    by_division = again.record["validation"]["by_division"]
    assert reports[2][1] == by_division[0], "three folds are the first division"
    assert recipe.n_epochs == again.record["epochs_asked"] == 18


def test_nothing_is_reported_while_the_metric_is_undefined(recipe, tmp_path, monkeypatch):
    reports = []

    def undefined_at_first(folds, *arguments, **options):
        if len(folds) == 1:
            raise DataError("a class is missing")
        return original(folds, *arguments, **options)

    original = cross_validation._scores
    monkeypatch.setattr(cross_validation, "_scores", undefined_at_first)
    search(recipe, tmp_path, report=lambda *reported: reports.append(reported))
    assert [epoch for epoch, _ in reports] == [6, 9, 12, 15]


def test_a_stopped_cross_validation_trains_no_further_fold(recipe, tmp_path):
    def stop(epoch, metric):
        raise SystemExit

    with pytest.raises(SystemExit, match=r"^$"):
        search(recipe, tmp_path, report=stop)
    assert [folder.name for folder in sorted(tmp_path.glob("fold*"))] == ["fold0"]


def test_it_depends_on_its_seed_and_division_alone(recipe, measured, tmp_path):
    again = search(recipe, tmp_path / "again")
    assert again.points[0].metric == measured[0].points[0].metric
    other = search(recipe, tmp_path / "other", division=1)
    assert load_checkpoint(tmp_path / "other" / "fold0" / "model.pt")["division"] == 6
    assert other.record["data_fingerprint"] != again.record["data_fingerprint"]


@pytest.mark.parametrize("name", ["train_network", "save_network", "measure_folds"])
def test_a_killed_training_goes_on_with_the_fold_that_it_was_in(recipe, measured, tmp_path, monkeypatch, name):
    original, calls = getattr(objective_module, name), []

    def kill_at_the_third(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 3 or name == "measure_folds":
            if name == "train_network":
                original(*arguments, **options)  # killed at the end of the fold, whose progress is saved
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr("nasfuse.train.loop._SAVE_EVERY_S", -1.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"^$"):
        patch.setattr(objective_module, name, kill_at_the_third)
        search(recipe, tmp_path)
    assert saved_progress(tmp_path) == (18 if name == "measure_folds" else 9)
    started = []
    one_epoch = "nasfuse.train.loop._Run.one_epoch"
    run_epoch = objective_module.train_network.__globals__["_Run"].one_epoch
    monkeypatch.setattr(one_epoch, lambda run: started.append(run.identity) or run_epoch(run))
    resumed = search(recipe, tmp_path)
    assert len(started) == (0 if name == "measure_folds" else 9), "three folds of three epochs are left"
    assert resumed.points[0].metric == measured[0].points[0].metric
    assert not list(tmp_path.rglob("resume.pt"))


def test_the_network_of_another_training_is_refused(recipe, measured, tmp_path):
    shutil.copytree(measured[1], tmp_path / "trial")
    with pytest.raises(CheckpointError, match=r"fold0/model.pt holds the network of another recipe, seed or data set"):
        search(recipe, tmp_path / "trial", seed=6)


def test_progress_of_a_failed_training_is_removed(tmp_path):
    folder = RunFolder(tmp_path)
    for place in (folder.trial(3), folder.trial(3) / "fold1"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "resume.pt").touch()
    (folder.trial(3) / "fold0").mkdir()
    for name in ("model.pt", "metrics.jsonl"):
        (folder.trial(3) / "fold0" / name).touch()
    folder.drop_progress(3)
    assert [file.name for file in tmp_path.rglob("*.*")] == ["metrics.jsonl"], "the curve is kept"
    assert saved_progress(folder.trial(4)) == 0


@pytest.fixture(scope="module")
def final(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("final") / "out"
    epochs = []
    result = train_recipe(recipe, folder, n_seeds=2, seed=0, device=CPU, report=lambda _, epoch: epochs.append(epoch))
    return result, folder, epochs


def test_the_final_training_uses_all_samples_outside_test(recipe, final):
    result, _, epochs = final
    assert result.spread("val") == (None, None)
    assert result.spread("test")[1] is not None
    assert [(epoch.val_loss, epoch.val_metric) for epoch in epochs] == [(None, None)] * 6
    for one in result.seeds:
        saved = read_network(Path(one.checkpoint), device=CPU)
        assert saved.division is one.division is None
        assert one.epochs == 3
        whole = load_dataset(recipe.data, division=None)
        by_hand = train_network(recipe, whole, seed=one.seed, device=CPU).network
        name = next(iter(by_hand.state_dict()))
        assert torch.equal(saved.network.state_dict()[name], by_hand.state_dict()[name])
    assert json.loads(json.dumps(result.to_plain()))["val"] == {"mean": None, "sd": None}


def test_a_finished_final_training_is_not_run_again(recipe, final):
    result, folder, _ = final
    again = train_recipe(recipe, folder, n_seeds=2, seed=0, device=CPU, report=ignore)
    assert again.seeds == result.seeds


def test_a_network_without_validation_samples_is_evaluated_on_test_alone(final):
    path = Path(final[0].seeds[0].checkpoint)
    assert evaluate_checkpoint(path, split="test", device=CPU)["value"] == final[0].seeds[0].test
    with pytest.raises(InvalidInputError, match=r"trained on all samples outside test .* evaluate it on test$"):
        evaluate_checkpoint(path, split="val", device=CPU)


def test_a_router_is_refused_before_anything_is_written(recipe, tmp_path):
    plain = recipe.to_plain()
    routed = Recipe.parse(
        {
            **plain,
            "data": {"source": "digits", "validation": {"folds": 3}},
            "network": {
                "route": ["left", "right"],
                "streams": {name: {"encoder": "mlp", "depth": 1, "width": 8} for name in ("left", "right")},
                "fusion": {"kind": "sum", "width": 8},
                "router": {"routes": ["left", "left+right"], "width": 4},
            },
        }
    )
    with pytest.raises(InvalidInputError, match=r"^network.router: a router is set on validation data.* remove one of"):
        train_recipe(routed, tmp_path / "out", n_seeds=1, seed=0, device=CPU, report=ignore)
    assert not (tmp_path / "out").exists()
