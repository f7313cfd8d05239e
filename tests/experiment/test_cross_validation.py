"""Recipes with `data.validation`: cross-validated in a search, trained on all samples outside test in the end."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nasfuse.data import load_dataset
from nasfuse.errors import CheckpointError, DataError, InvalidInputError
from nasfuse.experiment import fold_training, objective, training_files
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.fold_training import train_folds
from nasfuse.experiment.objective import Training
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.training_files import Fold, read_curve, saved_progress, train_together
from nasfuse.prediction import read_network
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import cross_validation, load_checkpoint, loop, stacked, train_network
from nasfuse.train.evaluation import predict_logits
from nasfuse.train.in_progress import TrainingInProgress
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


# A rung after every fold but the last one: each fold is trained by itself. Without rungs, all are trained together.
ALONE = (3, 6, 9, 12, 15)


def search(recipe, folder, *, seed=5, division=0, report=lambda epoch, metric: None, rungs=()):
    options = {"seed": seed, "division": division, "rungs": rungs}
    return Training()(recipe, folder=folder, report=report, weight_sources={}, **options)


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
    again = search(recipe, tmp_path, report=lambda *reported: reports.append(reported), rungs=ALONE)
    assert [epoch for epoch, _ in reports] == [3, 6, 9, 12, 15], "of six folds of three epochs, all but the last"
    by_division = again.record["validation"]["by_division"]
    assert reports[2][1] == by_division[0], "three folds are the first division"
    assert recipe.n_epochs == again.record["epochs_asked"] == 18


def test_nothing_is_reported_while_the_metric_is_undefined(recipe, tmp_path, monkeypatch):
    reports = []

    def undefined_at_first(digests, *arguments, **options):
        if len(digests) == 1:
            raise DataError("a class is missing")
        return original(digests, *arguments, **options)

    original = cross_validation._by_division
    monkeypatch.setattr(cross_validation, "_by_division", undefined_at_first)
    search(recipe, tmp_path, report=lambda *reported: reports.append(reported), rungs=ALONE)
    assert [epoch for epoch, _ in reports] == [6, 9, 12, 15]


def test_a_stopped_cross_validation_trains_no_further_fold(recipe, tmp_path):
    def stop(epoch, metric):
        raise SystemExit

    with pytest.raises(SystemExit, match=r"^$"):
        search(recipe, tmp_path, report=stop, rungs=(3,))
    assert [folder.name for folder in sorted(tmp_path.glob("fold*"))] == ["fold0"]


def test_it_depends_on_its_seed_and_division_alone(recipe, measured, tmp_path):
    again = search(recipe, tmp_path / "again")
    assert again.points[0].metric == measured[0].points[0].metric
    other = search(recipe, tmp_path / "other", division=1)
    assert load_checkpoint(tmp_path / "other" / "fold0" / "model.pt")["division"] == 6
    assert other.record["data_fingerprint"] != again.record["data_fingerprint"]


@pytest.mark.parametrize("name", ["train_network", "save_network", "measure_folds"])
def test_a_killed_training_goes_on_with_the_fold_that_it_was_in(recipe, measured, tmp_path, monkeypatch, name):
    module = objective if name == "measure_folds" else training_files
    original, calls = getattr(module, name), []

    def kill_at_the_third(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 3 or name == "measure_folds":
            if name == "train_network":
                original(*arguments, **options)  # killed at the end of the fold, whose progress is saved
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"^$"):
        patch.setattr(module, name, kill_at_the_third)
        search(recipe, tmp_path, rungs=ALONE)
    assert saved_progress(tmp_path) == (18 if name == "measure_folds" else 9)
    started = []
    run_epoch = loop._Run.one_epoch
    monkeypatch.setattr(loop._Run, "one_epoch", lambda run: started.append(run.identity) or run_epoch(run))
    resumed = search(recipe, tmp_path, rungs=ALONE)
    assert len(started) == (0 if name == "measure_folds" else 9), "three folds of three epochs are left"
    assert resumed.points[0].metric == measured[0].points[0].metric
    assert not list(tmp_path.rglob("resume.pt"))


class TestFoldsTrainedTogether:
    """Without rungs all folds are one stack, with some they are a stack between two of them."""

    @pytest.mark.parametrize("rungs", [(), (6,), (3, 9)])
    def test_stacks_end_at_rungs_and_have_the_results_of_single_trainings(
        self, recipe, tmp_path, measured, monkeypatch, rungs
    ):
        together = []
        monkeypatch.setattr(
            fold_training,
            "train_together",
            lambda recipe, folds, **options: together.append(len(folds)) or train_together(recipe, folds, **options),
        )
        search(recipe, tmp_path, rungs=rungs)
        assert together == {(): [6], (6,): [2, 4], (3, 9): [2, 3]}[rungs]
        for k in range(6):
            alone = train_network(
                recipe, load_dataset(recipe.data, division=k), seed=derive_seed(5, "fold", k), device=CPU
            )
            saved = read_network(tmp_path / f"fold{k}" / "model.pt", device=CPU).network.state_dict()
            for key, value in alone.network.state_dict().items():
                assert torch.allclose(saved[key], value, atol=1e-5), key
                assert saved[key].untyped_storage().nbytes() == saved[key].nbytes, "files hold one network each"
            for one, other in zip(read_curve(tmp_path / f"fold{k}" / "metrics.jsonl"), alone.curve, strict=True):
                assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5)
                assert one.val_metric == pytest.approx(other.val_metric)

    def test_a_stack_reports_whenever_its_epochs_are_those_of_another_fold(self, recipe, tmp_path):
        reports = []
        search(recipe, tmp_path, report=lambda *reported: reports.append(reported), rungs=(6,))
        assert [epoch for epoch, _ in reports] == [4, 6, 10, 14], "two folds after 2 epochs, then four after 1 and 2"
        assert all(0 <= metric <= 1 for _, metric in reports)

    @pytest.mark.parametrize("killed", ["in an epoch", "save_network"])
    def test_a_killed_stack_goes_on_where_it_was(self, recipe, measured, tmp_path, monkeypatch, killed):
        monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)

        calls = []

        def kill_in_time(*arguments, **options):
            calls.append(arguments)
            if len(calls) == fatal:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        # In the second epoch, when three of six folds were validated; or when two of six networks were saved.
        module, name, fatal = {
            "in an epoch": (TrainingInProgress, "end_epoch", 10),
            "save_network": (training_files, "save_network", 3),
        }[killed]
        original = getattr(module, name)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"^$"):
            patch.setattr(module, name, kill_in_time)
            search(recipe, tmp_path)
        assert saved_progress(tmp_path) == (6 if killed == "in an epoch" else 18)
        started = []
        one_epoch = stacked._StackedRun.one_epoch
        monkeypatch.setattr(stacked._StackedRun, "one_epoch", lambda run: started.append(run.epoch) or one_epoch(run))
        resumed = search(recipe, tmp_path)
        assert started == ([1, 2] if killed == "in an epoch" else [])
        assert resumed.points[0].metric == measured[0].points[0].metric
        assert resumed.record["validation"] == measured[0].record["validation"]
        for file in sorted(tmp_path.glob("fold*/model.pt")):
            unbroken = load_checkpoint(measured[1] / file.relative_to(tmp_path))["network"]
            assert all(torch.equal(value, unbroken[key]) for key, value in load_checkpoint(file)["network"].items())
        assert not list(tmp_path.rglob("resume.pt"))

    def test_networks_that_have_no_stack_are_trained_fold_by_fold(self, recipe, tmp_path, monkeypatch):
        monkeypatch.setattr(fold_training, "train_together", lambda *_, **__: pytest.fail("it is no stack"))
        stream = {"encoder": "maxout", "depth": 1, "width": 4}
        plain = recipe.to_plain()
        maxout = Recipe.parse({**plain, "network": {"route": ["a"], "streams": {"a": stream}}})
        reports = []
        search(maxout, tmp_path, report=lambda *reported: reports.append(reported))
        assert [epoch for epoch, _ in reports] == [3, 6, 9, 12, 15]

    def test_folds_with_other_numbers_of_batches_are_stacks_of_their_own(self, recipe, tmp_path, monkeypatch):
        sizes = []
        monkeypatch.setattr(
            fold_training,
            "train_together",
            lambda recipe, folds, **options: (
                sizes.append([len(fold.dataset.train) for fold in folds]) or train_together(recipe, folds, **options)
            ),
        )
        whole = load_dataset(recipe.data, division=0)

        def load(k):
            rows = torch.arange([33, 32, 32, 31, 30][k])
            dataset = replace(whole, train=whole.train.of_samples(rows), fingerprint=f"fold {k}")
            return Fold(dataset, tmp_path / f"fold{k}", seed=k, division=k)

        five = Recipe.parse({**recipe.to_plain(), "data": {**recipe.data.to_plain(), "validation": {"folds": 5}}})
        options = {"metric": "accuracy", "rungs": (), "device": CPU, "goes_on": lambda: None}
        folds = train_folds(five, load, tmp_path, report=lambda *_: None, **options)
        assert sizes == [[32, 32, 31, 30]], "33 samples are three batches of 16, the others two"
        assert [len(fold.dataset.train) for fold in folds] == [33, 32, 32, 31, 30]


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
