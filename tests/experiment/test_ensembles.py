"""Ensembles of a run: chosen at the end, shown on the front, exported, trained and evaluated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nasfuse.errors import RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.countdown import UNLIMITED
from nasfuse.experiment.ensembles import choose_ensembles, update_ensembles
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.macs_check import check_front, read_checks
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.nn import build_network
from nasfuse.search.front import candidates_of, front_of
from nasfuse.spec.ensemble import load_recipe
from nasfuse.tasks import task_kind
from nasfuse.train import load_checkpoint
from nasfuse.train.evaluation import predict_logits
from nasfuse.train.metrics import score
from tests.small_search import search, write_three_vectors

CPU = torch.device("cpu")
SPACE = {
    "fields": {"network.route": {"subsets": True}},
    "fixed": {
        "network.streams.*.encoder": "mlp",
        "network.streams.*.depth": 1,
        "network.streams.*.width": 4,
        "network.fusion.kind": "concat",
        "network.fusion.width": 8,
        "training.epochs": 3,
        "training.lr": 0.02,
        "training.batch_size": 16,
    },
    "baselines": {"each": {"network.route": "each"}, "all": {"network.route": "all"}},
}


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    return write_three_vectors(tmp_path_factory.mktemp("data") / "toy.npz")


def network_in(file, recipe, dataset):
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    network.load_state_dict(load_checkpoint(file)["network"])
    return network


def accuracy_of_average(networks, part):
    outputs = torch.stack([predict_logits(network, part, device=CPU) for network in networks])
    return score("accuracy", task_kind("multiclass").average(outputs), part.targets, task="multiclass")


@pytest.fixture(scope="module")
def searched(data_file, tmp_path_factory):
    return search(tmp_path_factory.mktemp("run") / "toy", data_file, SPACE, ensembles=3)


@pytest.fixture(scope="module")
def run(searched):
    """The run as the end of a search leaves it, with an ensemble on the front."""
    folder, study, scheduler = searched
    front = update_ensembles(folder, study, scheduler.trials(), scheduler.objectives)
    check_front(folder, study, front, countdown=UNLIMITED)
    found = read_run(folder)
    assert [one.label for one in found.progress.front] == [one.label for one in front]
    return found


@pytest.fixture(scope="module")
def ensemble(run):
    """The most accurate ensemble of the front."""
    return max((one for one in run.progress.front if one.members), key=lambda one: one.measured.metric)


def test_ensembles_are_on_the_front_with_the_costs_of_their_members(run, ensemble):
    costs = [member.measured.macs for member in ensemble.members]
    assert ensemble.measured.macs == sum(costs)
    assert costs[0] == max(costs), "networks that cost less are added"
    assert run.progress.best.measured.metric >= ensemble.measured.metric
    assert run.progress.hypervolume > run.objectives.hypervolume([one for one in run.candidates if not one.members])


def test_costs_are_as_counted(run, ensemble):
    checks = {one.label: one.check for one in read_checks(run.folder)}
    assert ensemble.label in checks
    assert not any(check.failed for check in checks.values())
    (counted,) = checks[ensemble.label].counted.values()
    assert counted == ensemble.measured.macs


def test_members_are_those_that_a_search_by_hand_finds(searched):
    folder, study, scheduler = searched
    trials = scheduler.trials()
    front = front_of(candidates_of(trials), scheduler.objectives)[:2]
    (pair,) = choose_ensembles(folder, study, trials, front)
    assert pair.members == (front[1], front[0])
    divisions = set.intersection(*({trials[n].division for n in one.trainings} for one in front))
    metrics = []
    for division in sorted(divisions):
        numbers = [next(n for n in one.trainings if trials[n].division == division) for one in front]
        dataset = cached_dataset(study.data.model_dump_json(), division)
        networks = [network_in(folder.network(number), folder.recipe(number), dataset) for number in numbers]
        metrics.append(accuracy_of_average(networks, dataset.val))
    # There is no choice between two networks, so cross-validation changes nothing.
    assert pair.metrics == pytest.approx(metrics)


def test_an_exported_ensemble_is_trained_and_saved(run, ensemble, tmp_path):
    recipe = run.recipe(ensemble)
    write_text(tmp_path / "r.yaml", recipe.to_yaml())
    assert load_recipe(tmp_path / "r.yaml") == recipe
    assert [one.hash for one in recipe.members] == [run.recipe(one).hash for one in ensemble.members]
    epochs = []
    options = {"n_seeds": 2, "seed": 0, "device": CPU}
    folder = tmp_path / "train"
    result = train_recipe(recipe, folder, **options, report=lambda number, epoch: epochs.append((number, epoch.epoch)))
    n_epochs = 3 * len(recipe.members)
    assert epochs == [(number, epoch + 1) for number in range(2) for epoch in range(n_epochs)]
    assert result.macs == ensemble.measured.macs
    assert not result.check.failed
    for one in result.seeds:
        place = Path(one.checkpoint).parent
        dataset = cached_dataset(recipe.data.model_dump_json(), one.division)
        members = [
            network_in(place / f"member{k}" / "model.pt", member, dataset) for k, member in enumerate(recipe.members)
        ]
        for split, value in (("val", one.val), ("test", one.test)):
            together = network_in(Path(one.checkpoint), recipe, dataset)
            assert accuracy_of_average([together], dataset.split(split)) == value
            assert accuracy_of_average(members, dataset.split(split)) == value
    assert len({one.test for one in result.seeds} | {one.seed for one in result.seeds}) > 2
    again = train_recipe(recipe, folder, **options, report=lambda *_: pytest.fail("trained again"))
    assert again.seeds == result.seeds
    (folder / "seed1" / "result.json").unlink()
    resumed = train_recipe(recipe, folder, **options, report=lambda *_: pytest.fail("members were trained again"))
    assert resumed.seeds == result.seeds


def test_ensembles_above_max_macs_are_left_out(searched, run, ensemble):
    folder, study, scheduler = searched
    limit = ensemble.measured.macs - 1
    objectives = replace(scheduler.objectives, max_macs=limit)
    front = update_ensembles(folder, study, scheduler.trials(), objectives)
    assert all(one.measured.macs <= limit for one in front)
    update_ensembles(folder, study, scheduler.trials(), scheduler.objectives)


def test_without_networks_or_when_not_asked_for_there_are_none(searched, run, tmp_path):
    folder, study, scheduler = searched
    trials, objectives = scheduler.trials(), scheduler.objectives
    front = front_of(candidates_of(trials), objectives)
    assert choose_ensembles(folder, study, trials, front[:1]) == []
    empty = RunFolder(tmp_path / "empty")
    assert choose_ensembles(empty, study, trials, front) == []
    write_text(empty.ensembles_file, "[]")
    off = study.model_copy(update={"ensembles": 0})
    assert update_ensembles(empty, off, trials, objectives) == front
    assert not empty.ensembles_file.exists()


def test_a_damaged_file_is_named(run, monkeypatch, tmp_path):
    monkeypatch.setattr(RunFolder, "ensembles_file", tmp_path / "ensembles.json")
    (tmp_path / "ensembles.json").write_text('[{"members": ["1"]}]')
    with pytest.raises(RunFolderError, match=r"ensembles\.json is damaged; remove it, and the search command writes"):
        read_run(run.folder)
    (tmp_path / "ensembles.json").write_text(json.dumps([{"members": ["1", "99"], "metrics": [0.5]}]))
    assert not any(one.members for one in read_run(run.folder).candidates)


def test_of_a_cross_validation(data_file, tmp_path):
    folder, study, scheduler = search(
        tmp_path / "cv", data_file, SPACE, validation={"folds": 2, "repeats": 2}, n_trials=4, ensembles=2
    )
    trials = scheduler.trials()
    front = front_of(candidates_of(trials), scheduler.objectives)
    found = choose_ensembles(folder, study, trials, front)
    assert found
    for one in found:
        assert len(one.metrics) == len(one.candidate().trainings), "means over the repeats of the cross-validation"
        assert all(0.3 < metric <= 1 for metric in one.metrics)
    recipe = read_run(folder).recipe(found[0].candidate())
    result = train_recipe(recipe, tmp_path / "train", n_seeds=1, seed=0, device=CPU, report=lambda *_: None)
    assert result.seeds[0].val is None
