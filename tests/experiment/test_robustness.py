"""Points of a front, and single networks, without a modality."""

from unittest.mock import Mock

import numpy as np
import pytest
import torch

from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import InvalidInputError, RunFolderError
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.countdown import UNLIMITED
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.robustness import keep_robustness, measure_robustness
from nasfuse.experiment.robustness_file import read_robustness, write_robustness
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.prediction import read_network
from nasfuse.report.html import write_report
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig
from tests.experiment.spent_time import Asked

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    """The front of a run: left alone, both halves, and both with modality dropout; another point has no network."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "run", [(0.3, 10), (0.5, 100), (0.6, 200), (0.7, 300)])
    for number, base, dropout in [(0, 0, 0.0), (2, 2, 0.0), (3, 2, 0.3)]:
        plain = folder.recipe(base).to_plain()
        plain["training"] |= {"modality_dropout": dropout, "lr": 0.01}
        recipe = Recipe.parse(plain)
        Training()(recipe, seed=0, division=0, folder=folder.trial(number), report=lambda *_: None, weight_sources={})
    return read_run(folder)


@pytest.fixture(scope="module")
def found(run):
    return measure_robustness(run.folder, run.study, run.progress.front, device=CPU)


def accuracy_without(run, number, name):
    """The accuracy on validation data whose inputs `name` are zeros, with the placeholder where there is one."""
    val = cached_dataset(run.study.data.model_dump_json()).val
    network = read_network(run.folder.network(number), device=CPU).network
    batch = val.batch(torch.arange(len(val)), names=network.stream_names)
    present = {}
    if name in network.stream_names:
        batch.inputs[name].zero_()
        present = {name: torch.zeros(len(val), dtype=torch.bool)}
    with torch.no_grad():
        logits = network(batch.inputs, {}, present=present)
    return float((logits.argmax(dim=1) == val.targets).double().mean())


def test_every_point_with_a_network_is_measured(run, found):
    assert [member.label for member in run.progress.front] == ["0", "1", "2", "3"]
    assert [one.label for one in found] == ["0", "2", "3"]
    for one in found:
        assert one.metric == pytest.approx(accuracy_without(run, int(one.label), "nothing"))
        for name in ("left", "right"):
            assert one.without[name] == pytest.approx(accuracy_without(run, int(one.label), name))
    alone, both, dropped = found
    assert alone.without["right"] == alone.metric > 0.3
    assert alone.without["left"] < 0.25
    assert (alone.by_mean, both.by_mean, dropped.by_mean) == (("left",), ("left", "right"), ())


def test_they_are_in_the_report_once_they_are_written(run, found):
    write_report(run.folder.report_file, run)
    text = run.folder.report_file.read_text(encoding="utf-8")
    assert "without left" not in text
    words = f"nasfuse pareto {run.folder.root} --robust".split()
    command = " ".join(f"<span class=word>{word}</span>" for word in words)
    assert f"Where the data have several modalities, it is measured by <code>{command}</code>" in text
    write_robustness(run.folder, found)
    assert list(read_robustness(run.folder).values()) == found
    write_report(run.folder.report_file, run)
    text = run.folder.report_file.read_text(encoding="utf-8")
    assert "<th scope=col class=n>without left<th scope=col class=n>without right" in text
    assert f"~{found[1].without['left']:.4f}" in text
    assert "The other points are measured by <code><span class=word>nasfuse</span>" in text, "one has no network"
    run.folder.robustness_file.write_text("{")
    with pytest.raises(
        RunFolderError, match=r"robustness\.json is damaged; remove it, and `nasfuse pareto --robust` w"
    ):
        read_robustness(run.folder)
    run.folder.robustness_file.unlink()
    assert read_robustness(run.folder) == {}


def test_a_search_measures_what_there_is_time_for(run, found, monkeypatch):
    front = run.progress.front
    for times, labels in ((0, []), (1, ["0"]), (4, ["0", "2", "3"])):
        countdown, known = Asked(times), read_robustness(run.folder)
        n_left_out = keep_robustness(run.folder, run.study, front, countdown=countdown)
        assert list(read_robustness(run.folder)) == labels, "cheapest first"
        new = [member for member in front if member.label not in known]
        asked = [0.1 * member.measured.latency_s * 3 * 180 for member in new]
        assert countdown.seconds == pytest.approx(asked[: len(countdown.seconds)])
        assert n_left_out == (4 - times if times < 4 else 0)
    assert list(read_robustness(run.folder).values()) == found
    monkeypatch.setattr("nasfuse.experiment.robustness.measure_robustness", lambda *_, **__: pytest.fail("it is known"))
    keep_robustness(run.folder, run.study, [member for member in front if member.label != "1"], countdown=UNLIMITED)
    run.folder.robustness_file.unlink()


def test_evaluation_without_a_modality(run):
    plain, dropped = (
        evaluate_checkpoint(run.folder.network(number), split="val", device=CPU, without=["left"]) for number in (2, 3)
    )
    assert (plain["without"], dropped["without"]) == ({"left": "mean"}, {"left": "placeholder"})
    assert dropped["value"] == pytest.approx(accuracy_without(run, 3, "left"))
    whole = evaluate_checkpoint(run.folder.network(2), split="val", device=CPU)
    assert whole["macs"] == plain["macs"]
    assert "without" not in whole


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lefft"], r"^--without: the network reads no modality 'lefft'; did you mean 'left'\? Known: left, right$"),
        (["right", "left"], r"^--without: the network reads left and right and nothing else, so nothing would be left"),
    ],
)
def test_what_cannot_be_left_out(run, names, message):
    with pytest.raises(InvalidInputError, match=message):
        evaluate_checkpoint(run.folder.network(2), split="val", device=CPU, without=names)


def test_folds_are_pooled(make_recipe, make_run, tmp_path, monkeypatch):
    """Each fold is predicted by its own network, and the metric is that of all samples together."""
    folder = make_run(tmp_path / "run", [(0.5, 100)], data={"source": "digits", "validation": {"folds": 3}})
    run = read_run(folder)
    plain = folder.recipe(0).to_plain()
    plain["training"]["epochs"] = 1
    Training()(
        Recipe.parse(plain), seed=0, division=0, folder=folder.trial(0), report=lambda *_: None, weight_sources={}
    )
    (found,) = measure_robustness(folder, run.study, run.progress.front, device=CPU)
    right = []
    for number in range(3):
        val = cached_dataset(run.study.data.model_dump_json(), number).val
        network = read_network(folder.networks(0)[number], device=CPU).network
        batch = val.batch(torch.arange(len(val)), names=network.stream_names)
        right += (network(batch.inputs, {}).argmax(dim=1) == val.targets).tolist()
    assert found.metric == pytest.approx(np.mean(right))


def test_points_of_studies_with_a_limit(run, tmp_path):
    recipe = run.folder.recipe(2)
    measured = Training(without_each=True)(
        recipe, seed=0, division=0, folder=tmp_path, report=lambda *_: None, weight_sources={}
    )
    without = [
        evaluate_checkpoint(tmp_path / "model.pt", split="val", device=CPU, without=[name])["value"]
        for name in ("left", "right")
    ]
    assert measured.points[0].robust_metric == pytest.approx(min(without))
    assert Measurements.from_plain(measured.to_plain()) == measured


def test_points_of_studies_that_select_by_another_metric(run, tmp_path):
    recipe, reports = run.folder.recipe(2), []
    measured = Training(select_by="log_loss")(
        recipe, seed=0, division=0, folder=tmp_path, report=lambda *one: reports.append(one), weight_sources={}
    )
    found = evaluate_checkpoint(tmp_path / "model.pt", split="val", device=CPU)
    assert measured.points[0].reported_metric == pytest.approx(found["value"])
    assert found["val_metric_at_training"] == measured.points[0].reported_metric
    assert measured.points[0].metric == pytest.approx(found["loss"], rel=1e-5)
    assert min(value for _, value in reports) == pytest.approx(measured.points[0].metric, rel=1e-5)
    assert Measurements.from_plain(measured.to_plain()) == measured


def test_a_run_without_a_robust_point(make_run, tmp_path):
    folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000)], robust_metric=0.7)
    run = read_run(folder)
    assert run.objectives.robust_metric == 0.7
    assert (run.progress.front, run.progress.best, run.candidates) == ([], None, [])
    assert run.progress.n_not_robust == 2
    assert run.why_empty == (
        "has no point whose accuracy reaches robust_metric 0.7000 without any one modality, in 2 networks"
    )


def test_a_limit_for_data_of_one_modality_is_refused(tmp_path):
    np.savez(tmp_path / "one.npz", v=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40) % 2)
    study = StudyConfig.parse(
        {
            "name": "one",
            "data": {"source": str(tmp_path / "one.npz"), "modalities": {"v": "vector"}},
            "space": {"fields": {"training.lr": {"choices": [0.01, 0.02]}}},
            "budget": {"trials": 1},
            "robust_metric": 0.5,
        }
    )
    with pytest.raises(InvalidInputError, match=r"^robust_metric: the data have one modality, and without it noth"):
        run_search(study, RunFolder(tmp_path / "run"), display=Mock())
