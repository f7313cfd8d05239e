"""Training a recipe for good, and judging a saved network."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from nasfuse.data.sources.digits import load_digits
from nasfuse.domain.file_format import FORMAT
from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import CheckpointError, DataError, InvalidInputError, MissingFileError, RunFolderError
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.space_survey import macs_of, route_macs_of
from nasfuse.nn import build_network
from nasfuse.nn.routing.calibration import CalibrationStatus
from nasfuse.prediction import load_network
from nasfuse.spec.recipe import Recipe
from nasfuse.train import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")
PLAIN = {
    "data": {"source": "digits"},
    "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp", "depth": 1, "width": 8}}},
    "training": {"epochs": 2, "lr": 0.01},
}
RECIPE = Recipe.parse(PLAIN)


def train(recipe, folder, *, n_seeds=1, seed=0):
    epochs = []
    result = train_recipe(
        recipe, folder, n_seeds=n_seeds, seed=seed, device=CPU, report=lambda n, e: epochs.append((n, e.epoch))
    )
    return result, epochs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("final")
    return *train(RECIPE, folder, n_seeds=2), folder


def test_the_result(trained):
    result, epochs, folder = trained
    assert epochs == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert Recipe.load(folder / "recipe.yaml") == RECIPE
    assert len({one.seed for one in result.seeds}) == 2
    mean, deviation = result.spread("test")
    first, second = (one.test for one in result.seeds)
    assert mean == pytest.approx((first + second) / 2)
    assert deviation == pytest.approx(abs(first - second) / 2**0.5)
    plain = result.to_plain()
    checked = {"macs_closed_form", "macs_counted", "macs_status"}
    assert set(plain) == {"recipe_hash", "summary", "macs", "metric", "val", "test", "seeds", *checked}
    assert plain["macs_closed_form"] == plain["macs_counted"] == {"left": plain["macs"]}
    assert plain["macs_status"] == "equal"
    assert plain["recipe_hash"] == RECIPE.hash
    assert not list(folder.rglob("resume.pt"))


def test_one_seed_has_no_spread(tmp_path, trained):
    result, _ = train(RECIPE, tmp_path)
    assert result.spread("val")[1] is None
    assert result.seeds[0].val == trained[0].seeds[0].val, "the first of two seeds is the only one of one"
    assert train(RECIPE, tmp_path / "other", seed=1)[0].seeds[0].seed != result.seeds[0].seed


def test_one_that_is_killed_while_it_is_tested_is_not_trained_again(tmp_path, monkeypatch):
    def kill(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"^$"):
        patch.setattr("nasfuse.experiment.final_training.evaluate", kill)
        train(RECIPE, tmp_path)
    monkeypatch.setattr("nasfuse.train.loop._Run.one_epoch", lambda _: pytest.fail("trained again"))
    train(RECIPE, tmp_path)
    assert not list(tmp_path.rglob("resume.pt"))


def test_a_finished_training_is_neither_run_nor_evaluated_again(tmp_path, monkeypatch):
    first, epochs = train(RECIPE, tmp_path)
    assert len(epochs) == 2
    monkeypatch.setattr("nasfuse.experiment.final_training.evaluate", lambda *_, **__: pytest.fail("tested again"))
    again, epochs = train(RECIPE, tmp_path)
    assert epochs == []
    assert again.seeds == first.seeds


def test_a_further_seed_joins_the_others(tmp_path):
    one, _ = train(RECIPE, tmp_path)
    two, epochs = train(RECIPE, tmp_path, n_seeds=2)
    assert two.seeds[0] == one.seeds[0]
    assert epochs == [(1, 1), (1, 2)]


def test_other_seeds_do_not_overwrite(tmp_path):
    train(RECIPE, tmp_path)
    with pytest.raises(RunFolderError, match=r"seed0 holds a network of another --seed; choose another -o$"):
        train(RECIPE, tmp_path, seed=1)
    (tmp_path / "seed0" / "result.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"result\.json is damaged; remove .*seed0 to train that seed again"):
        train(RECIPE, tmp_path)


def test_a_saved_network_is_what_was_measured(trained):
    result, _, _ = trained
    for one in result.seeds:
        for split, value in (("val", one.val), ("test", one.test)):
            judged = evaluate_checkpoint(Path(one.checkpoint), split=split, device=CPU)
            assert judged["value"] == value
            assert judged["macs"] == result.macs
            assert judged["recipe_hash"] == RECIPE.hash
            assert judged["samples"] == 180


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"metric": "acuracy"}, ValueError, "'acuracy' is not known; did you mean 'accuracy'"),
        ({"metric": "mae"}, InvalidInputError, "mae does not apply to a multiclass task; use accuracy"),
        ({"data": {"source": "absent.npz"}}, MissingFileError, r"no data set 'absent\.npz'"),
        (
            {"network": {"route": ["middle"], "streams": {"middle": {"encoder": "mlp"}}}},
            InvalidInputError,
            "network.route: the data has no modality 'middle'; Known: left, right",
        ),
        (
            {"network": {"route": ["left"], "streams": {"left": {"encoder": "conv", "stride": 64}}}},
            InvalidInputError,
            "stride",
        ),
    ],
)
def test_a_recipe_that_cannot_be_trained_writes_nothing(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train(Recipe.parse({**PLAIN, **changes}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


ROUTED = Recipe.parse(
    {
        "data": {"source": "digits"},
        "network": {
            "route": ["left", "right"],
            "streams": {name: {"encoder": "mlp", "depth": 1, "width": 8} for name in ("left", "right")},
            "fusion": {"kind": "sum", "width": 8},
            "router": {"routes": ["left", "left+right"], "width": 4},
        },
        "training": {"epochs": 3, "lr": 0.02},
    }
)


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    return train(ROUTED, tmp_path_factory.mktemp("routed"), n_seeds=2)[0]


class TestRouted:
    def test_macs_are_the_mean_over_seeds(self, routed):
        assert routed.macs == round(sum(one.macs for one in routed.seeds) / 2)
        cheap, full = routed.route_macs["left"], routed.route_macs["left+right"]
        assert list(routed.route_macs) == ["left", "left+right"]
        assert all(cheap <= one.macs <= full for one in routed.seeds)
        assert routed.to_plain()["route_macs"] == routed.route_macs

    def test_where_the_test_samples_went(self, routed):
        for one in routed.seeds:
            assert list(one.routes) == ["left", "left+right"]
            assert sum(one.routes.values()) == pytest.approx(1)
            judged = evaluate_checkpoint(Path(one.checkpoint), split="test", device=CPU)
            assert judged["routes"] == one.routes
            assert judged["value"] == one.test

    def test_macs_are_those_of_the_samples_judged(self, routed):
        cheap, full = routed.route_macs.values()
        for one in routed.seeds:
            val = evaluate_checkpoint(Path(one.checkpoint), split="val", device=CPU)
            assert (val["value"], val["macs"]) == (one.val, round(one.macs))
            for judged in (val, evaluate_checkpoint(Path(one.checkpoint), split="train", device=CPU)):
                # Images have no length, so every sample of a route costs the same.
                shares = judged["routes"].values()
                expected = sum(share * macs for share, macs in zip(shares, (cheap, full), strict=True))
                assert judged["macs"] == round(expected)

    def test_calibration_and_threshold_are_saved(self, routed, tmp_path):
        content = load_checkpoint(Path(routed.seeds[0].checkpoint))
        assert (content["network"]["gate_scale"] != 1.0).all()
        assert int(content["network"]["gate_status"]) != CalibrationStatus.IDENTITY
        for threshold, route in ((0.0, "left+right"), (1.0, "left")):
            content["points"][0]["threshold"] = threshold
            content.pop("format", None)
            save_checkpoint(tmp_path / "model.pt", content)
            judged = evaluate_checkpoint(tmp_path / "model.pt", split="test", device=CPU)
            assert judged["routes"][route] == 1.0
            assert judged["macs"] == macs_of(ROUTED, load_digits(), route=0 if threshold else 1)

    def test_points_can_be_set_on_other_data(self, routed, tmp_path):
        content = load_checkpoint(Path(routed.seeds[0].checkpoint))
        points = [content["points"][0], {**content["points"][0], "threshold": 0.9}]
        other = {"points": points, "data_fingerprint": "0123456789ab", "content_fingerprint": "ba9876543210"}
        save_checkpoint(tmp_path / "model.pt", {**content, **other})
        assert evaluate_checkpoint(tmp_path / "model.pt", split="val", device=CPU, point=1)["warning"]

    def test_a_finished_result_is_read_back(self, routed):
        folder = Path(routed.seeds[0].checkpoint).parent.parent
        again, epochs = train(ROUTED, folder, n_seeds=2)
        assert epochs == []
        assert again == routed

    def test_a_static_network_has_no_routes(self, trained):
        result, _, _ = trained
        assert result.route_macs == {}
        assert all(one.routes == {} and one.macs == result.macs for one in result.seeds)
        assert "routes" not in evaluate_checkpoint(Path(result.seeds[0].checkpoint), split="val", device=CPU)

    def test_the_costs_of_a_recipe_before_training(self):
        dataset = load_digits()
        network = build_network(ROUTED.network, dataset.modalities, dataset.task)
        assert route_macs_of(ROUTED, dataset) == network.full_route_macs()
        assert [macs_of(ROUTED, dataset, route=number) for number in (0, 1)] == network.static_macs({})
        assert macs_of(ROUTED, dataset) == macs_of(ROUTED, dataset, route=0)
        assert route_macs_of(RECIPE, dataset) == {}


class TestBadCheckpoints:
    def evaluate(self, path):
        return evaluate_checkpoint(path, split="test", device=CPU)

    def test_missing(self, tmp_path):
        with pytest.raises(MissingFileError, match="no such checkpoint"):
            self.evaluate(tmp_path / "model.pt")

    @pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 and so on"])
    def test_damaged(self, tmp_path, content):
        (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged or cut off; copy it again, or train the recipe again"):
            self.evaluate(tmp_path / "model.pt")

    def test_progress_of_a_training(self, tmp_path):
        save_checkpoint(tmp_path / "resume.pt", {"epoch": 3})
        with pytest.raises(CheckpointError, match=r"is no trained network; name a model\.pt"):
            self.evaluate(tmp_path / "resume.pt")

    def change(self, trained, path, **changes):
        content = load_checkpoint(trained[2] / "seed0" / "model.pt")
        save_checkpoint(path, {**content, **changes})
        return path

    def test_weights_of_another_recipe(self, trained, tmp_path):
        wider = Recipe.parse(
            {**PLAIN, "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp", "width": 9}}}}
        )
        path = self.change(trained, tmp_path / "model.pt", recipe=wider.to_plain())
        with pytest.raises(CheckpointError, match=r"the weights in .* do not fit its recipe; train the recipe again"):
            self.evaluate(path)

    def test_a_recipe_that_is_none(self, trained, tmp_path):
        with pytest.raises(ValueError, match="data: this key is required"):
            self.evaluate(self.change(trained, tmp_path / "model.pt", recipe={}))

    def test_data_that_are_gone(self, trained, tmp_path):
        plain = {**PLAIN, "data": {"source": "absent.npz", "modalities": {"left": "image"}}}
        path = self.change(trained, tmp_path / "model.pt", recipe=Recipe.parse(plain).to_plain())
        with pytest.raises((MissingFileError, DataError), match=r"absent\.npz"):
            self.evaluate(path)


def test_a_folder_in_which_nothing_but_the_format_was_written_is_free(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "format").write_text(f"{FORMAT}\n")
    train(RECIPE, tmp_path / "out")
    assert (tmp_path / "out" / "seed0" / "model.pt").is_file()


class TestWhereTheDataAre:
    """A network is judged by the scales of its training, on the data that are asked for, and other data are told."""

    @pytest.fixture
    def file(self, tmp_path):
        """Writes a file of numbers in some unit, in the order that `seed` gives the samples."""

        def write(name, *, seed=None, unit=1.0, task="multiclass"):
            rng = np.random.default_rng(0)
            values, classes = rng.normal(size=(80, 3)), np.arange(80) % 2
            targets = classes if task == "multiclass" else 100 * values[:, 0] + 1000
            order = np.arange(80) if seed is None else np.random.default_rng(seed).permutation(80)
            (tmp_path / name).parent.mkdir(exist_ok=True)
            np.savez(tmp_path / name, a=unit * values[order], y=targets[order])
            return str(tmp_path / name)

        return write

    def recipe(self, source, **changes):
        data = {"source": source, "modalities": {"a": {"kind": "vector"}}, **changes.pop("data", {})}
        network = {"route": ["a"], "streams": {"a": {"encoder": "mlp", "depth": 1, "width": 4}}}
        return Recipe.parse({**PLAIN, "data": data, "network": network, **changes})

    def judge(self, result, **options):
        return evaluate_checkpoint(Path(result.seeds[0].checkpoint), device=CPU, **options)

    def test_the_same_data(self, file, tmp_path):
        result, _ = train(self.recipe(file("a.npz")), tmp_path / "out")
        judged = self.judge(result)
        assert judged["value"] == result.seeds[0].test
        assert judged["data_fingerprint"] == judged["trained_on_fingerprint"]
        assert "warning" not in judged

    def test_other_data_at_the_same_path_are_told(self, file, tmp_path):
        result, _ = train(self.recipe(file("a.npz")), tmp_path / "out")
        file("a.npz", seed=1)
        judged = self.judge(result)
        assert judged["data_fingerprint"] != judged["trained_on_fingerprint"]
        assert re.search(
            r"other data than the network was trained with: .*a\.npz has the fingerprint \w{12}, that of the training "
            r"is \w{12}; samples of this split may have been trained on, so the result may be too good$",
            judged["warning"],
        )

    def test_other_data_by_request(self, file, tmp_path, monkeypatch):
        result, _ = train(self.recipe(file("a.npz")), tmp_path / "out")
        file("other/a.npz", seed=1)
        monkeypatch.chdir(tmp_path)
        judged = self.judge(result, source="other/a.npz")
        assert judged["data"] == str(tmp_path / "other" / "a.npz")
        assert "warning" in judged
        Path("a.npz").unlink()
        file("moved/a.npz")
        assert "warning" not in self.judge(result, source="moved/a.npz"), "the same data"
        with pytest.raises(MissingFileError, match=r"no data set .*a\.npz.*`train` and `evaluate` also take --data"):
            self.judge(result)

    @pytest.mark.parametrize("task", ["multiclass", "regression"])
    def test_scales_are_those_of_the_checkpoint(self, file, tmp_path, task):
        """Inputs in another unit are other inputs, they are not standardised away."""
        metric = {"multiclass": "accuracy", "regression": "mae"}[task]
        source = file("a.npz", task=task)
        recipe = self.recipe(source, metric=metric, data={"task": task})
        result, _ = train(recipe, tmp_path / "out")
        content = load_checkpoint(Path(result.seeds[0].checkpoint))
        inputs = torch.from_numpy(np.load(source)["a"])
        assert (content["target_scale"] is None) == (task == "multiclass")
        file("a.npz", unit=5.0, task=task)
        network = build_network(
            recipe.network, (Modality("a", "vector", (3,)),), Task(task, 2 if task == "multiclass" else 1)
        )
        network.load_state_dict(content["network"])
        own = content["scales"]["a"]
        with torch.inference_mode():
            logits = network.eval()({"a": ((5 * inputs - own["mean"]) / own["std"]).float()}, {})
        found = load_network(result.seeds[0].checkpoint)(source)
        assert float((found - logits).abs().max()) < 1e-4

    def test_a_network_of_a_regression_keeps_its_unit(self, file, tmp_path):
        """Targets far from those of the training are judged as far from them."""
        recipe = self.recipe(file("a.npz", task="regression"), metric="mae", data={"task": "regression"})
        result, _ = train(recipe, tmp_path / "out")
        arrays = dict(np.load(tmp_path / "a.npz"))
        np.savez(tmp_path / "b.npz", a=arrays["a"], y=arrays["y"] + 1e6)
        assert self.judge(result, source=str(tmp_path / "b.npz"))["value"] == pytest.approx(1e6, rel=1e-3)

    @pytest.mark.parametrize("names", [None, ["ant", "cat", "dog"]])
    def test_a_class_may_be_absent(self, tmp_path, names):
        """Classes have the numbers of the training, and metrics are those of the samples alone."""
        rng = np.random.default_rng(0)
        values, classes = rng.normal(size=(120, 3)), np.arange(120) % 3
        labels = classes if names is None else np.array(names)[classes]
        np.savez(tmp_path / "a.npz", a=values, y=labels)
        result, _ = train(self.recipe(str(tmp_path / "a.npz")), tmp_path / "out")
        whole = self.judge(result, source=str(tmp_path / "a.npz"), split="test")
        assert "warning" not in whole
        predicted = load_network(result.seeds[0].checkpoint).predict({"a": values})
        kept = classes != 1
        np.savez(tmp_path / "b.npz", a=values[kept], y=labels[kept])
        judged = self.judge(result, source=str(tmp_path / "b.npz"))
        assert (judged["split"], judged["samples"]) == ("all", 80)
        assert judged["value"] == np.mean(predicted[kept] == labels[kept])
        assert [one["samples"] for one in judged["by_class"]] == [40, 0, 40]
        assert judged["by_class"][1]["recall"] is None

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (["ant", "cow"], r"b\.npz: the labels must be one of ant, cat, dog, got 'cow' in row 1; correct it"),
            ([0, 1], r"the labels must be one of ant, cat, dog, got '0' in row 0"),
        ],
    )
    def test_other_classes_are_told(self, tmp_path, labels, message):
        values = np.random.default_rng(0).normal(size=(120, 3))
        np.savez(tmp_path / "a.npz", a=values, y=np.array(["ant", "cat", "dog"])[np.arange(120) % 3])
        np.savez(tmp_path / "b.npz", a=values[:2], y=np.array(labels))
        result, _ = train(self.recipe(str(tmp_path / "a.npz")), tmp_path / "out")
        with pytest.raises(DataError, match=message):
            self.judge(result, source=str(tmp_path / "b.npz"))

    def test_splits_of_other_data(self, file, tmp_path):
        result, _ = train(self.recipe(file("a.npz")), tmp_path / "out")
        arrays = dict(np.load(file("b.npz", seed=1)))
        with pytest.raises(InvalidInputError, match=r"b\.npz has no splits, so it has no val; leave out --split"):
            self.judge(result, source=str(tmp_path / "b.npz"), split="val")
        np.savez(tmp_path / "b.npz", **arrays, split=np.array(["train", "test"])[np.arange(80) % 2])
        judged = self.judge(result, source=str(tmp_path / "b.npz"))
        assert (judged["split"], judged["samples"]) == ("test", 40)
        with pytest.raises(InvalidInputError, match=r"has no samples in val, only in test, train; choose another"):
            self.judge(result, source=str(tmp_path / "b.npz"), split="val")

    def test_other_data_are_read_once_and_need_no_scales_of_their_own(self, file, tmp_path, monkeypatch):
        result, _ = train(self.recipe(file("a.npz")), tmp_path / "out")
        monkeypatch.setattr(
            "nasfuse.experiment.checkpoint_evaluation.cached_dataset", lambda *_: pytest.fail("read twice")
        )
        self.judge(result, source=file("b.npz", seed=1))

    def test_networks_are_kept_with_data_that_were_moved(self, file, tmp_path):
        first, _ = train(self.recipe(file("a.npz")), tmp_path / "out")
        (tmp_path / "a.npz").unlink()
        again, epochs = train(self.recipe(file("there/b.npz")), tmp_path / "out")
        assert again.seeds == first.seeds
        assert epochs == []
        assert Recipe.load(tmp_path / "out" / "recipe.yaml").data.source == str(tmp_path / "there" / "b.npz")

    def test_networks_of_other_data_are_not_overwritten(self, file, tmp_path):
        one, other = self.recipe(file("a.npz")), self.recipe(file("b.npz", seed=1))
        assert one.hash == other.hash
        train(one, tmp_path / "out")
        before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
        with pytest.raises(RunFolderError, match=r"holds a network of other data; choose another -o$"):
            train(other, tmp_path / "out")
        assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before

    def test_a_project_that_was_moved(self, file, tmp_path):
        source = file("project/a.npz")
        result, _ = train(self.recipe(source), tmp_path / "project" / "out")
        (tmp_path / "project").rename(tmp_path / "moved")
        moved = tmp_path / "moved" / "out" / "seed0" / "model.pt"
        judged = evaluate_checkpoint(moved, split="test", device=CPU)
        assert judged["value"] == result.seeds[0].test
        assert judged["data"] == str(tmp_path / "moved" / "a.npz")


def test_the_networks_of_another_recipe_are_not_overwritten(trained, tmp_path):
    _, _, folder = trained
    other = Recipe.parse({**PLAIN, "training": {"epochs": 1}})
    with pytest.raises(RunFolderError, match=r"holds the networks of another recipe; choose another folder with -o$"):
        train(other, folder)
    assert Recipe.load(folder / "recipe.yaml") == RECIPE
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"exists and holds something else; choose another folder with -o$"):
        train(RECIPE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
