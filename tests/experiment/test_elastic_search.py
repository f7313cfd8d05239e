"""A search whose networks are elastic: the front, its ensembles and MACs, and what an exported sub-network is."""

import json

import numpy as np
import pytest
import torch

from nasfuse.experiment.countdown import UNLIMITED
from nasfuse.experiment.ensembles import update_ensembles
from nasfuse.experiment.macs_check import check_front
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.point_networks import point_networks
from nasfuse.experiment.run_reader import read_run
from nasfuse.experiment.space_survey import macs_of
from nasfuse.export.networks import trained_point
from nasfuse.report.extracted import extracted_note
from nasfuse.train import evaluate
from tests.small_search import search, write_three_vectors

CPU = torch.device("cpu")
SPACE = {
    "fields": {"training.lr": {"choices": [0.01, 0.02]}},
    "fixed": {
        "network.route": "all",
        "network.streams.*.encoder": "mlp",
        "network.streams.*.depth": 1,
        "network.streams.*.width": 8,
        "network.fusion.kind": "concat",
        "network.fusion.width": 8,
        "training.epochs": 4,
        "training.batch_size": 16,
        "elastic": {"network.streams.a.width": [2, 4], "network.fusion.width": [4]},
        "training.elastic.n_random": 1,
    },
    "baselines": {"all": {"training.lr": 0.02}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two elastic networks, each trained twice, as the end of a search leaves them."""
    data_file = write_three_vectors(tmp_path_factory.mktemp("data") / "toy.npz")
    place = tmp_path_factory.mktemp("run") / "toy"
    folder, study, scheduler = search(place, data_file, SPACE, n_trials=4, ensembles=2)
    front = update_ensembles(folder, study, scheduler.trials(), scheduler.objectives)
    check_front(folder, study, front, countdown=UNLIMITED)
    return read_run(folder)


@pytest.fixture(scope="module")
def picked(run):
    """A sub-network of the run."""
    return next(one for one in run.candidates if one.measured.figure == "extracted" and not one.members)


def test_sub_networks_of_repeated_trainings_are_candidates_once(run):
    parts = [one for one in run.candidates if one.measured.figure == "extracted" and not one.members]
    settings = [(run.folder.recipe(one.trial).hash, str(sorted(one.measured.knobs.items()))) for one in parts]
    assert len(set(settings)) == len(settings)
    assert any(len(one.trainings) == 2 for one in parts)


def test_the_front_says_which_figures_are_extracted(run):
    assert any(one.measured.figure == "extracted" for one in run.progress.front)
    assert "with the weights of an elastic training" in extracted_note(run.progress.front)


def test_macs_of_the_front_are_as_counted(run):
    checks = json.loads(run.folder.macs_file.read_text())
    assert checks.keys() == {one.label for one in run.progress.front}
    assert all(check["macs_status"] == "equal" for check in checks.values())


def test_the_recipe_of_a_sub_network_is_plain_and_has_its_macs(run, picked):
    recipe = run.recipe(picked)
    assert (recipe.elastic, recipe.training.elastic) == ({}, None)
    dataset = cached_dataset(recipe.data.model_dump_json())
    assert macs_of(recipe, dataset) == picked.measured.macs
    whole = next(one for one in run.candidates if one.trial == picked.trial and one.point == 0)
    assert run.recipe(whole).elastic == run.folder.recipe(picked.trial).elastic


def test_its_network_is_that_which_was_measured(run, picked):
    (part,) = point_networks(run.folder, run.study, picked, device=CPU)
    found, _ = evaluate(part.saved.network, part.dataset.val, metric="accuracy", task=part.saved.task, device=CPU)
    first = next(trial for trial in run.trials if trial.number == picked.trial)
    assert found == pytest.approx(first.points[picked.point].metric)
    rows = {name: np.zeros((2, 3)) for name in "abc"}
    predictor = trained_point(run, picked, device=CPU)
    assert predictor.recipe.network == run.recipe(picked).network
    assert predictor.predict(rows) is not None


def test_ensembles_may_have_sub_networks_as_members(run):
    dataset = cached_dataset(run.study.data.model_dump_json())
    members = [member for one in run.candidates for member in one.members]
    assert any(member.measured.figure == "extracted" for member in members)
    assert all(member.measured.macs == macs_of(run.recipe(member), dataset) for member in members)
