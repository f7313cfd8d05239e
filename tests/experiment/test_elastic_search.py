"""A search whose networks are elastic: the front, its ensembles and MACs, and what an exported sub-network is."""

import json

import numpy as np
import pytest
import torch

from nasfuse.experiment.ensembles import update_ensembles
from nasfuse.experiment.macs_check import check_front
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.point_networks import point_networks
from nasfuse.experiment.run import make_space
from nasfuse.experiment.run_folder import RunFolder, write_text
from nasfuse.experiment.run_reader import read_run
from nasfuse.experiment.space_survey import macs_of
from nasfuse.export.networks import trained_point
from nasfuse.report.extracted import extracted_note
from nasfuse.search import Scheduler, open_storage
from nasfuse.spec.study import StudyConfig
from nasfuse.train import evaluate

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
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=240)
    values = {name: rng.normal(size=(240, 3)) + 1.5 * (labels == k)[:, None] for k, name in enumerate("abc")}
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    np.savez(path, y=labels, split=np.array(["train"] * 180 + ["test"] * 60), **values)
    data = {"source": str(path), "modalities": dict.fromkeys("abc", "vector"), "val_fraction": 0.4}
    plain = {"name": "toy", "data": data, "space": SPACE, "budget": {"trials": 4, "repeats": 2}, "ensembles": 2}
    study = StudyConfig.parse(plain)
    folder = RunFolder(tmp_path_factory.mktemp("run") / "toy")
    folder.claim(study)
    dataset = cached_dataset(study.data.model_dump_json())
    scheduler = Scheduler(
        open_storage(folder.storage_url(study)),
        study,
        make_space(study, dataset),
        macs_of=lambda recipe: macs_of(recipe, dataset),
        reference=lambda: (0.1, 1e6),
        fingerprint=dataset.fingerprint,
    )
    while scheduler.wants_more(running=0):
        one = scheduler.next()
        place = folder.trial(one.number)
        write_text(place / "recipe.yaml", one.recipe.to_yaml())
        options = {"seed": one.seed, "division": one.division, "report": lambda *_: None, "weight_sources": {}}
        scheduler.finish(one.number, Training()(one.recipe, folder=place, **options))
    front = update_ensembles(folder, study, scheduler.trials(), scheduler.objectives)
    check_front(folder, front, dataset)
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
