"""`nasfuse predict`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

import nasfuse as package
from nasfuse.experiment.objective import Training
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.recipe import Recipe

RECIPE = {
    "data": {"source": "digits"},
    "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp", "depth": 1, "width": 8}}},
    "training": {"epochs": 2, "lr": 0.01},
}


def train(recipe, folder):
    Training()(recipe, seed=0, division=0, folder=folder, report=lambda *_: None, weight_sources={})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(Recipe.parse(RECIPE), folder)
    return folder / "model.pt"


@pytest.fixture
def halves(tmp_path):
    """A file with the left halves of twelve digits."""

    def write(name="new.npz", **more):
        images = load_digits().images[:12].astype(np.uint8)
        np.savez(tmp_path / name, **{"left": images[:, :, :4], **more})
        return name

    return write


@pytest.fixture
def expected(model):
    network = package.load_network(model)
    return network.predict_proba({"left": load_digits().images[:12, :, :4].astype(np.uint8)})


class TestFiles:
    def test_csv(self, nasfuse, model, halves, expected, tmp_path):
        ran = nasfuse("predict", model, halves(), "-o", "out.csv", "--device", "cpu")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == "wrote the predictions for 12 rows to out.csv\n"
        table = pd.read_csv(tmp_path / "out.csv", dtype={"prediction": str})
        assert list(table) == ["row", "prediction", *(f"probability_{digit}" for digit in range(10))]
        assert table["row"].tolist() == list(range(12))
        np.testing.assert_allclose(table.iloc[:, 2:].to_numpy(), expected, rtol=5e-6)
        digits = (tmp_path / "out.csv").read_text().split("\n")[1].split(",")[2:]
        assert max(len(text.lstrip("0.").partition("e")[0].replace(".", "")) for text in digits) == 6
        assert table["prediction"].tolist() == [str(k) for k in expected.argmax(axis=1)]

    def test_parquet(self, nasfuse, model, halves, expected, tmp_path):
        assert nasfuse("predict", model, halves(), "-o", "out.parquet", "--device", "cpu").code == 0
        table = pd.read_parquet(tmp_path / "out.parquet")
        np.testing.assert_array_equal(table.iloc[:, 2:].to_numpy(), expected)

    def test_npz(self, nasfuse, model, halves, expected, tmp_path):
        assert nasfuse("predict", model, halves(), "-o", "out.npz", "--device", "cpu").code == 0
        arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
        assert set(arrays) == {"row", "prediction", "probabilities", "names"}
        np.testing.assert_array_equal(arrays["probabilities"], expected)
        assert arrays["names"].tolist() == [str(digit) for digit in range(10)]
        assert arrays["prediction"].tolist() == [str(k) for k in expected.argmax(axis=1)]

    def test_rows_that_cannot_be_used(self, nasfuse, model, halves, tmp_path):
        images = load_digits().images[:12, :, :4].copy()
        images[[2, 5]] = np.nan
        for name in ("out.csv", "out.parquet", "out.npz"):
            ran = nasfuse("predict", model, halves(left=images), "-o", name, "--device", "cpu")
            assert ran.code == 3
            assert ran.sentence == (
                "warning: no prediction for 2 of 12 rows, counted from 0: 2, 5; the first one because of left: it has "
                "values that are NaN, infinite or too large; see the column problem"
            )
            assert f"wrote the predictions for 10 of 12 rows to {name}" in ran.out
        for table in (pd.read_csv(tmp_path / "out.csv"), pd.read_parquet(tmp_path / "out.parquet")):
            assert table["prediction"].isna().tolist() == [row in (2, 5) for row in range(12)]
            assert table["problem"].notna().tolist() == [row in (2, 5) for row in range(12)]
        arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
        assert (arrays["prediction"] == "").tolist() == [row in (2, 5) for row in range(12)]
        ran = nasfuse("predict", model, halves(left=images), "-o", name, "--device", "cpu", "--json")
        reason = "left: it has values that are NaN, infinite or too large"
        assert (ran.code, ran.json) == (
            3,
            {"file": name, "rows": 12, "predicted": 10, "problems": {"2": reason, "5": reason}},
        )

    def test_columns_of_the_data_that_are_kept(self, nasfuse, model, halves, expected, tmp_path):
        ids = [f"digit-{number:02}" for number in range(12)]
        data = halves(ids=np.array(ids), weight=np.arange(12) / 7)
        for name in ("out.csv", "out.parquet", "out.npz"):
            ran = nasfuse("predict", model, data, "-o", name, "--device", "cpu", "--keep", "ids", "--keep", "weight")
            assert ran.code == 0, ran.err
        for table in (pd.read_csv(tmp_path / "out.csv"), pd.read_parquet(tmp_path / "out.parquet")):
            assert list(table)[:3] == ["ids", "weight", "prediction"]
            assert table["ids"].tolist() == ids
            np.testing.assert_array_equal(table["weight"], np.arange(12) / 7)  # not rounded
        arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
        assert arrays["ids"].tolist() == ids
        assert "row" not in arrays


class TestAnotherFolder:
    def test_the_file_alone_gives_the_same_numbers(self, model, halves, expected, tmp_path):
        """In another process, with another working folder and without the training data."""
        place = tmp_path / "elsewhere"
        place.mkdir()
        shutil.copy(model, place / "network.pt")
        halves()
        root = str(Path(package.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-m", "nasfuse", "predict", "network.pt", "../new.npz", "-o", "o.npz", "--device", "cpu"],
            cwd=place,
            env={**os.environ, "PYTHONPATH": root, "NASFUSE_DATA": str(place), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        np.testing.assert_array_equal(np.load(place / "o.npz")["probabilities"], expected)


class TestSearches:
    @pytest.fixture(scope="class")
    def searched(self, make_run, tmp_path_factory):
        """A run of two trials with networks."""
        folder = make_run(tmp_path_factory.mktemp("searched") / "run", [(0.5, 100), (0.9, 1000), None])
        for number in (0, 1):
            train(folder.recipe(number), folder.trial(number))
        return folder.root

    @pytest.fixture
    def run(self, searched, tmp_path):
        return shutil.copytree(searched, tmp_path / "run")

    def test_a_point_of_the_front(self, nasfuse, run, tmp_path):
        images = load_digits().images[:5].astype(np.uint8)
        np.savez(tmp_path / "new.npz", left=images[:, :, :4], right=images[:, :, 4:])
        for options, number in (((), 1), (("--pick", "cheapest"), 0), (("--max-macs", 999), 0)):
            ran = nasfuse("predict", run, "new.npz", "-o", "out.npz", "--device", "cpu", *options)
            assert ran.code == 0, ran.err
            assert f"trial {number} (accuracy 0." in ran.out
            network = package.load_network(RunFolder(run).network(number))
            expected = network.predict_proba({"left": images[:, :, :4], "right": images[:, :, 4:]})
            np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["probabilities"], expected)

    def test_a_cross_validated_point(self, nasfuse, run, halves, tmp_path):
        """Its networks are averaged, each with the preprocessing and the scales of its own training data."""
        folder = RunFolder(run)
        folder.network(0).unlink()
        folds = Recipe.parse({**RECIPE, "data": {"source": "digits", "validation": {"folds": 3}}})
        train(folds, folder.trial(0))
        ran = nasfuse("predict", run, halves(), "-o", "out.csv", "--pick", "cheapest", "--device", "cpu")
        assert ran.code == 0, ran.err
        assert ": the mean of 3 networks" in ran.out
        networks = [package.load_network(file) for file in folder.networks(0)]
        assert len(networks) == 3
        mean = np.mean([network.predict_proba(tmp_path / "new.npz") for network in networks], axis=0)
        table = pd.read_csv(tmp_path / "out.csv", dtype={"prediction": str})
        np.testing.assert_allclose(table.iloc[:, 2:].to_numpy(), mean, rtol=5e-6)
        assert table["prediction"].tolist() == [str(k) for k in mean.argmax(axis=1)]

    def test_an_ensemble(self, nasfuse, make_run, searched, halves, tmp_path):
        folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000), None], ensembles=2)
        folder.ensembles_file.write_text(json.dumps([{"members": ["1", "0"], "metrics": [0.96, 0.98]}]))
        for number in (0, 1):
            shutil.copy(RunFolder(searched).network(number), folder.network(number))
        images = load_digits().images[:5].astype(np.uint8)
        np.savez(tmp_path / "new.npz", left=images[:, :, :4], right=images[:, :, 4:])
        ran = nasfuse("predict", folder.root, "new.npz", "-o", "out.npz", "--device", "cpu")
        assert "trial 1+0 (accuracy 0.9700, 1,100 MACs on validation data): the mean of 2 networks" in ran.out
        parts = [package.load_network(folder.network(k)).predict_proba(tmp_path / "new.npz") for k in (0, 1)]
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")["probabilities"], np.mean(parts, axis=0), rtol=1e-12)

    def test_a_network_that_was_not_kept(self, refuses, run, halves):
        RunFolder(run).network(1).unlink()
        sentence = refuses("predict", run, halves(), "-o", "out.csv", "--device", "cpu")
        assert "run has no network of trial 1 any more; export the recipe of the point and train it" in sentence

    def test_options_for_something_else(self, nasfuse, refuses, run, model, halves):
        for option, value in (("--pick", "best"), ("--max-macs", 9)):
            sentence = refuses("predict", model, halves(), "-o", "out.csv", option, value)
            assert f"{option} chooses from the folder of a search" in sentence
        ran = nasfuse("predict", run, halves(), "-o", "out.csv", "--point", 1)
        assert ran.code == 2
        assert "--point is for the network of one trial" in ran.sentence


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("number", "new.npz has no array 'number' (--keep); Known: left, names, three"),
            ("names", "--keep: predictions have columns called names themselves; rename them"),
            ("left", "array left of new.npz does not have one value per row; keep another one"),
            ("three", "--keep: three does not have a value for each of 12 rows; keep another one"),
        ],
    )
    def test_columns_to_keep(self, refuses, model, halves, name, message):
        data = halves(names=np.arange(12), three=np.arange(3))
        assert message in refuses("predict", model, data, "-o", "o.npz", "--device", "cpu", "--keep", name)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("out.txt", "-o out.txt: the suffix must be one of .csv, .parquet, .npz"),
            ("a/out.csv", "there is no folder a"),
        ],
    )
    def test_output(self, refuses, model, halves, name, message):
        assert message in refuses("predict", model, halves(), "-o", name)

    def test_an_output_that_is_an_input(self, refuses, model, halves, tmp_path):
        name = halves()
        (tmp_path / "link.npz").symlink_to(tmp_path / name)
        for output in (name, f"./{name}", "link.npz"):
            sentence = refuses("predict", model, name, "-o", output)
            assert sentence.endswith("is a file that is read and would be overwritten; give another name")
        shutil.copy(model, tmp_path / "network.csv")
        assert "network.csv is a file that is read" in refuses("predict", "network.csv", name, "-o", "network.csv")

    def test_swapped_arguments(self, refuses, model, halves, tmp_path):
        (tmp_path / "photos").mkdir()
        for data in (halves(), "photos"):
            sentence = refuses("predict", data, model, "-o", "o.csv")
            assert "the first argument is a network file (model.pt) or the folder of a search, and " in sentence
            assert sentence.endswith(f"{data} is data; name the network first, then the data")

    def test_data_that_are_not_there(self, refuses, model):
        sentence = refuses("predict", model, "new.npz", "-o", "o.csv", "--device", "cpu")
        assert "there is no file or folder new.npz, and none of this name in" in sentence

    def test_an_array_that_is_not_there(self, refuses, model, tmp_path):
        np.savez(tmp_path / "new.npz", lefft=np.zeros((2, 8, 4)))
        sentence = refuses("predict", model, "new.npz", "-o", "o.csv", "--device", "cpu")
        assert sentence.endswith(
            "new.npz has no array 'left' (data.modalities.left); did you mean 'lefft'? Known: lefft"
        )

    def test_a_point_that_is_not_there(self, refuses, model, halves):
        sentence = refuses("predict", model, halves(), "-o", "o.csv", "--point", 7, "--device", "cpu")
        assert "has the operating points 0 to 0, got 7; name one of them" in sentence

    def test_data_of_other_modalities(self, refuses, model, tmp_path):
        np.savez(tmp_path / "new.npz", audio=np.zeros((5, 20)), y=np.zeros(5, int))
        expected = "new.npz has no array 'left' (data.modalities.left); Known: audio, y"
        assert expected in refuses("predict", model, "new.npz", "-o", "o.csv", "--device", "cpu")
        assert expected in refuses("evaluate", model, "--data", "new.npz", "--device", "cpu")

    def test_data_without_targets_for_evaluate(self, refuses, model, halves):
        sentence = refuses("evaluate", model, "--data", halves(), "--device", "cpu")
        assert sentence.endswith(
            "new.npz has no targets, the array y; use `nasfuse predict` for data without targets, or name the array as "
            "in the training"
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda content: content.pop("recipe"),
                "model.pt is no trained network; name a model.pt that `train` or a",
            ),
            (
                lambda content: content["recipe"].update(metric="acc", training={"epochs": 0}),
                "has 2 problems: metric: 'acc' is not known; did you mean 'auc'?",
            ),
            (
                lambda content: content["network"].popitem(),
                "the weights in model.pt do not fit its recipe; train the recipe again",
            ),
        ],
        ids=["no recipe", "nonsense", "other weights"],
    )
    def test_a_changed_file(self, refuses, model, halves, change, message):
        content = torch.load(model, weights_only=True)
        change(content)
        torch.save(content, "model.pt")
        for command in (("predict", "model.pt", halves(), "-o", "o.csv"), ("evaluate", "model.pt")):
            assert message in refuses(*command, "--device", "cpu")

    def test_a_search_without_a_front(self, refuses, make_run, halves, tmp_path):
        run = make_run(tmp_path / "run", ["it broke"]).root
        expected = "run has no finished trial yet; continue its search first"
        assert expected in refuses("predict", run, halves(), "-o", "o.csv")
        assert expected in refuses("export", run, "-o", "r.yaml")

    def test_a_file_that_is_no_network(self, refuses, halves, tmp_path):
        torch.save({"format": 3}, tmp_path / "model.pt")
        sentence = refuses("predict", "model.pt", halves(), "-o", "o.csv", "--device", "cpu")
        assert "model.pt was written by an earlier version of nasfuse (its format is 3" in sentence
