"""An elastic network in a search: its operating points, and what becomes of a sub-network that is picked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nasfuse.cost import check_macs, expected_macs
from nasfuse.domain.knob import parted
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.errors import ConfigError
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.space_survey import macs_of
from nasfuse.experiment.starting_point import StartingPoint
from nasfuse.nn import build_network
from nasfuse.pareto import non_dominated
from nasfuse.prediction import load_network, read_network
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.space import SpaceConfig
from nasfuse.train import evaluate, train_network
from nasfuse.train.point_metric import of_each_network
from nasfuse.train.sub_network_search import front_of_parts, tries_of

CPU = torch.device("cpu")
RECIPE = Recipe.parse(
    {
        "data": {"source": "digits"},
        "network": {
            "route": ["left", "right"],
            "streams": {name: {"encoder": "mlp", "depth": 2, "width": 16} for name in ("left", "right")},
            "fusion": {"kind": "concat", "width": 16, "placement": 2},
        },
        "training": {"epochs": 2, "lr": 0.01},
        "elastic": {"network.streams.*.width": [4, 8], "network.streams.*.depth": [1], "network.fusion.width": [8]},
    }
)


@pytest.fixture(scope="module")
def dataset():
    return cached_dataset(RECIPE.data.model_dump_json())


@pytest.fixture(scope="module")
def trained(dataset):
    return train_network(RECIPE, dataset, seed=0, device=CPU)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    objective = Training(without_each=True, select_by="log_loss")
    options = {"seed": 0, "division": 0, "report": lambda *_: None, "weight_sources": {}}
    return objective(RECIPE, folder=folder, **options), folder / "model.pt"


class TestPoints:
    def test_the_first_is_the_whole_network_and_the_others_are_sub_networks(self, measured, dataset):
        (first, *parts), record = measured[0].points, measured[0].record
        assert first.knobs == {}
        assert first.figure == "scratch"
        assert 1 <= len(parts) <= 16
        assert record["elastic"]["tried"] >= 16
        for part in parts:
            assert part.figure == "extracted"
            assert set(part.knobs) <= set(RECIPE.elastic)
            assert part.macs == macs_of(RECIPE.smaller(part.knobs), dataset) < first.macs
            assert part.params < first.params

    def test_none_is_dominated_by_another(self, measured):
        costs = np.array([(point.metric, point.macs) for point in measured[0].points])
        assert non_dominated(costs).all()

    def test_they_have_what_the_study_asks_for(self, measured):
        for point in measured[0].points:
            assert 0 < point.reported_metric <= 1
            assert point.robust_metric >= point.metric  # a loss, which missing modalities raise

    def test_the_same_training_has_the_same_points(self, trained, dataset):
        def value(setting):
            return evaluate(trained.at(setting), dataset.val, metric="accuracy", task=dataset.task, device=CPU)[0]

        options = {"metric": "accuracy", "whole": trained.chosen.val_metric, "value": value, "n_tries": 20}
        found, n_tried = front_of_parts(trained.parts, dataset, **options)
        assert front_of_parts(trained.parts, dataset, **options) == (found, n_tried)
        assert n_tried == 20

    def test_a_space_that_is_smaller_than_the_tries_is_tried_out(self, trained, dataset, monkeypatch):
        monkeypatch.setattr(trained.parts, "values", {"network.fusion.width": (8, 16)})
        monkeypatch.setattr(trained.parts, "smallest", {"network.fusion.width": 8})
        found, n_tried = front_of_parts(
            trained.parts, dataset, metric="accuracy", whole=0.9, value=lambda _: 0.5, n_tries=30
        )
        assert (found, n_tried) == ([({"network.fusion.width": 8}, 0.5)], 1)

    def test_a_metric_that_is_no_number_is_left_out(self, trained, dataset):
        options = {"metric": "accuracy", "whole": 0.9, "n_tries": 16}
        found, _ = front_of_parts(trained.parts, dataset, value=lambda _: float("nan"), **options)
        assert found == []

    def test_more_tries_for_longer_trainings(self, dataset):
        counts = [tries_of(dataset, n_epochs=n) for n in (1, 20, 1000)]
        assert counts[0] == 16 < counts[1] < counts[2] == 96


class TestFiles:
    def test_a_point_is_the_plain_network_of_the_smaller_recipe(self, measured, dataset):
        measurements, file = measured
        point = measurements.points[-1]
        saved = read_network(file, point=len(measurements.points) - 1, device=CPU)
        assert saved.recipe == RECIPE.smaller(point.knobs)
        assert saved.recipe.elastic == {}
        assert saved.recipe.training.elastic is None
        plain = build_network(saved.recipe.network, dataset.modalities, dataset.task)
        plain.load_state_dict(saved.network.state_dict())
        value, _ = evaluate(plain, dataset.val, metric="log_loss", task=dataset.task, device=CPU)
        assert value == pytest.approx(point.metric)
        assert expected_macs(plain, dataset) == point.macs
        assert not check_macs(saved.network, dataset).failed

    def test_it_is_evaluated_and_predicts(self, measured, dataset):
        measurements, file = measured
        number = len(measurements.points) - 1
        found = evaluate_checkpoint(file, split="val", device=CPU, point=number)
        assert found["value"] == pytest.approx(measurements.points[-1].reported_metric)
        assert found["macs"] == measurements.points[-1].macs
        assert found["settings"] == measurements.points[-1].knobs
        assert load_network(file, point=number).recipe.summary.count("elastic") == 0
        assert RECIPE.summary.endswith("| elastic")

    def test_a_training_may_start_from_its_weights(self, measured, tmp_path):
        """With next to no learning rate nothing changes."""
        measurements, file = measured
        number = len(measurements.points) - 1
        start = StartingPoint.read(file, point=number)
        assert start.fingerprint == f"{StartingPoint.read(file).fingerprint}-{number}"
        training = start.saved.recipe.training.model_copy(update={"lr": 1e-9, "epochs": 1})
        recipe = start.saved.recipe.model_copy(update={"training": training})
        said = []
        result = train_recipe(
            recipe,
            tmp_path / "out",
            n_seeds=1,
            seed=0,
            device=CPU,
            report=lambda *_: None,
            start=start,
            announce=said.append,
        )
        assert "new" not in said[0]
        assert result.seeds[0].test == evaluate_checkpoint(file, device=CPU, point=number)["value"]

    def test_the_whole_network_is_point_0(self, measured):
        assert read_network(measured[1], device=CPU).recipe.hash == RECIPE.hash


def test_points_of_each_network_are_measured_with_it(trained):
    point = OperatingPoint(metric=0.5, macs=1, params=1, latency_s=1.0, latency_iqr_s=0.0, peak_bytes=1)
    part, seen = {"network.fusion.width": 8}, []
    points = [replace(point, knobs=knobs) for knobs in ({}, part, {"x": 1.0}, {**part, "x": 2.0})]

    def more_of(own, network):
        seen.append(([one.knobs for one in own], network.branch.fusion.out_width))
        return tuple(replace(one, metric=one.metric + len(seen)) for one in own)

    found = of_each_network(points, trained, more_of)
    assert seen == [([{}, {"x": 1.0}], 16), ([{}, {"x": 2.0}], 8)]
    assert [one.metric for one in found] == [1.5, 2.5, 1.5, 2.5]
    assert [one.knobs for one in found] == [one.knobs for one in points]
    assert parted(found[3].knobs) == (part, {"x": 2.0})


def test_a_space_may_fix_what_is_elastic(dataset):
    config = SpaceConfig.parse(
        {
            "fields": {"training.lr": {"float": [0.01, 0.1]}},
            "fixed": {
                "network.route": "all",
                "network.streams.*.encoder": "mlp",
                "network.fusion.kind": "concat",
                "elastic": {"network.streams.*.width": [8, 16]},
            },
        }
    )
    space = Space(config, dataset.modalities, base={"data": {"source": "digits"}})
    recipe = space.recipe({"training.lr": 0.02})
    assert recipe.elastic == {f"network.streams.{name}.width": (8, 16) for name in ("left", "right")}


def test_what_a_drawn_network_has_not_is_not_elastic_in_it(dataset):
    fixed = {
        "elastic": {
            "network.streams.*.width": [8, 16],
            "network.streams.*.expansion": [1],
            "network.fusion.width": [16],
        },
        "training.elastic.n_random": 1,
        "network.streams.*.width": 16,
    }
    kinds = {"network.streams.*.encoder": {"choices": ["mlp", "conv"]}, "network.route": {"subsets": True}}
    config = SpaceConfig.parse({"fields": kinds, "fixed": fixed})
    space = Space(config, dataset.modalities, base={"data": {"source": "digits"}})
    left = {"network.route": "left", "network.streams.left.encoder": "conv"}
    assert space.recipe(left).elastic == {"network.streams.left.width": (8,)}
    both = {**left, "network.route": "left+right", "network.streams.right.encoder": "mlp"}
    assert set(space.recipe(both).elastic) == {
        "network.streams.left.width",
        "network.streams.right.width",
        "network.streams.right.expansion",
        "network.fusion.width",
    }
    dynamic = SpaceConfig.parse({"fields": {"network.route": {"choices": ["left > left+right"]}}, "fixed": fixed})
    space = Space(dynamic, dataset.modalities, base={"data": {"source": "digits"}})
    recipe = space.recipe({"network.route": "left > left+right"})
    assert (recipe.elastic, recipe.training.elastic) == ({}, None)
    with pytest.raises(ConfigError, match=r"fixed\.elastic: .* is not a value of this field"):
        Space(
            SpaceConfig.parse({"fields": kinds, "fixed": {"elastic": {"network.fusion.width": 8}}}),
            dataset.modalities,
            base={"data": {"source": "digits"}},
        )
