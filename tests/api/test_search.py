"""`nasfuse.search`: what it takes for a study and for data, and a small search without Ray."""

import contextlib
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

import nasfuse
from nasfuse.api import search as search_function
from nasfuse.api.search import _asked
from nasfuse.data import load_dataset
from nasfuse.errors import ConfigError, DataError, DataWarning, InvalidInputError, MissingFileError, RunFolderError
from nasfuse.experiment import run as search_module
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.recipe import Recipe
from tests.in_process import InProcess
from tests.tiny_study import TINY

IMAGES = load_digits().images[:400].astype(np.uint8)
DATA = {"left": IMAGES[:, :, :4], "right": IMAGES[:, :, 4:], "y": load_digits().target[:400]}
STUDY = {**TINY, "budget": {"trials": 3, "repeats": 1}}


@pytest.fixture(scope="module", autouse=True)
def nothing_ahead():
    """Starts no workers of Ray, which nothing here uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["nasfuse.api.search"], "started_ahead", lambda *_, **__: contextlib.nullcontext())
        yield


class TestTheName:
    """`nasfuse.search` is a subpackage that can be called."""

    def test_nothing_heavy_is_imported_with_the_package(self):
        code = (
            "import sys, nasfuse\n"
            "print({'torch', 'ray', 'optuna', 'sklearn', 'numpy', 'pandas', 'typer'} & set(sys.modules))\n"
            "nasfuse.search\n"
            "from nasfuse.search.front import Candidate\n"
            "print(callable(nasfuse.search))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split("\n")[:2] == ["set()", "True"]

    def test_it_is_the_function(self, monkeypatch):
        monkeypatch.setattr("nasfuse.api.search", lambda *args, **kwargs: (args, kwargs))
        assert nasfuse.search("digits", minutes=3) == (("digits",), {"minutes": 3})

    def test_every_name_is_there(self):
        assert all(getattr(nasfuse, name) is not None for name in nasfuse.__all__)
        with pytest.raises(AttributeError, match="module 'nasfuse' has no attribute 'serach'"):
            _ = nasfuse.serach

    def test_packages_can_be_pickled(self):
        for package in (nasfuse, nasfuse.search):
            assert pickle.loads(pickle.dumps(package)) is package


class TestWhatIsAsked:
    def test_a_shipped_study(self):
        study, raw = _asked("digits", None, target=None, output=None)
        assert (study.name, raw) == ("digits", None)

    def test_a_study_file_with_other_data(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        np.savez(tmp_path / "other.npz", **DATA)
        study, raw = _asked("digits", "other.npz", target=None, output=None)
        assert (study.data.source, raw) == (str(tmp_path / "other.npz"), None)

    def test_a_mapping(self):
        study, raw = _asked(STUDY, None, target=None, output=None)
        assert (study.name, study.data.source, raw) == ("tiny", "digits", None)

    def test_a_mapping_with_the_name_of_a_space(self):
        study, _ = _asked({**STUDY, "space": "fusion"}, None, target=None, output=None)
        assert study.space.baselines

    def test_several_spellings_are_told(self):
        frame = pd.DataFrame({"size": np.arange(8) / 3, "shop": ["East", "east"] * 4, "y": [*"aabb"] * 2})
        with pytest.warns(DataWarning, match=r"^column shop of data: categories that differ only in case or spaces"):
            _asked(None, frame, target=None, output=None)

    def test_data_alone_are_drafted(self):
        study, raw = _asked(None, DATA, target=None, output="runs/mine")
        assert study.name == "mine"
        assert set(study.data.modalities) == {"left", "right"}
        np.testing.assert_array_equal(raw.columns["left"], DATA["left"])

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(RunFolderError, match=r"/file is a file, so .*/run cannot be; choose another with output$"):
            nasfuse.search(data=DATA, minutes=1, output=tmp_path / "file/run", progress=False)

    def test_a_mapping_comes_before_the_draft(self):
        study, _ = _asked({"metric": "macro_f1", "budget": {"trials": 7}}, DATA, target=None, output=None)
        assert (study.name, study.metric, study.budget.trials) == ("data", "macro_f1", 7)

    def test_a_data_frame(self):
        rows = np.arange(60)
        frame = pd.DataFrame({"price": rows * 0.5, "shop": ["a", "b", "c"] * 20, "sold": rows % 2, "id": rows})
        with pytest.warns(
            DataWarning, match=r"data: left out of the study: id \(its name and its values identify rows"
        ):
            study, _ = _asked(None, frame, target="sold", output=None)
        assert study.data.modalities["table"].columns == {"price": "number", "shop": "category"}
        assert study.data.target == "sold"

    def test_several_targets(self):
        rows = np.arange(60)
        frame = pd.DataFrame({"size": rows / 7, "price": rows * 0.5, "weight": rows % 9 / 3})
        study, _ = _asked(None, frame, target=["price", "weight"], output=None)
        assert (study.data.targets, study.data.task) == (("price", "weight"), "regression")
        assert study.data.modalities["table"].columns == {"size": "number"}

    def test_a_data_set_of_torch(self):
        from torch import tensor
        from torch.utils.data import TensorDataset

        samples = TensorDataset(tensor(DATA["left"]).float(), tensor(DATA["right"]).float(), tensor(DATA["y"]))
        study, raw = _asked(None, samples, target=None, output=None)
        assert set(study.data.modalities) == {"x0", "x1"}
        assert raw.columns["x1"].shape == (400, 8, 4)

    @pytest.mark.parametrize(
        ("study", "options", "error", "message"),
        [
            (None, {}, InvalidInputError, "search needs a study, data or both; give one of them"),
            ("digits", {"target": "y"}, InvalidInputError, "target is for data without a study file"),
            (STUDY, {"target": "y"}, InvalidInputError, "target is for data that the study does not describe"),
            ("absent.yaml", {}, MissingFileError, r"no such file: absent\.yaml"),
            (pd.DataFrame(), {}, InvalidInputError, r"of a study, got DataFrame; write nasfuse\.search\(data=\.\.\.\)"),
            (
                DATA,
                {},
                InvalidInputError,
                "is a study, got arrays called left, right, y; write nasfuse",
            ),
            (None, {"data": "absent.csv"}, MissingFileError, r"there is no file or folder absent\.csv"),
            (None, {"data": DATA, "target": "z"}, DataError, "data has no column 'z'"),
            (None, {"data": {"a": DATA["y"]}}, DataError, r"; name the target with target\. Columns: a$"),
            (None, {"data": 5}, DataError, "data must be a pandas DataFrame, a mapping from names to arrays"),
            (
                {**STUDY, "metric": "acc", "sampler": "t"},
                {},
                ConfigError,
                r"the study has 2 problems:\n  metric: 'acc'.*\n  sampler: 't'",
            ),
            (
                STUDY,
                {"minutes": -1.0},
                ConfigError,
                "the study has 1 problem:\n  budget.minutes: must be greater than 0",
            ),
        ],
    )
    def test_mistakes(self, study, options, error, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(error, match=message):
            search_function(study, **options)
        assert not list(tmp_path.iterdir())

    def test_a_file_of_data_as_the_study(self, tmp_path):
        (tmp_path / "mine.csv").touch()
        with pytest.raises(InvalidInputError, match=r"mine\.csv holds data, and the first argument is a study"):
            search_function(tmp_path / "mine.csv", target="y")

    def test_a_refused_search_leaves_no_folder(self, tmp_path):
        study = {key: value for key, value in STUDY.items() if key != "data"}
        with pytest.raises(InvalidInputError, match="max_macs"):
            search_function(study, data=DATA, max_macs=1, output=tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()

    def test_errors_name_arguments(self, make_run, tmp_path):
        other = make_run(tmp_path / "run", [(0.5, 100)]).root
        with pytest.raises(RunFolderError, match=r"run holds another study: .* Choose another folder with output, or "):
            search_function(STUDY, output=other, progress=False)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Three trials of data that were handed over, and the folder."""
    folder = tmp_path_factory.mktemp("searched") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_open_ray", lambda *_: InProcess().open)
        study = {key: value for key, value in STUDY.items() if key != "data"}
        return nasfuse.search(study, data=DATA, output=folder, progress=False), folder


class TestASearch:
    def test_its_files(self, searched):
        run, folder = searched
        assert run.folder == folder
        names = {path.name for path in folder.iterdir()}
        assert {"study.yaml", "data.parquet", "report.html", "front.csv", "front.png"} <= names
        assert load_dataset(run.study.data).train.targets.unique().numel() == 10

    def test_it_continues(self, searched, monkeypatch, capsys):
        run, folder = searched
        monkeypatch.setattr(search_module, "_open_ray", lambda *_: pytest.fail("its budget is spent"))
        study = {key: value for key, value in STUDY.items() if key != "data"}
        again = nasfuse.search(study, data=DATA, output=folder)
        pd.testing.assert_frame_equal(again.front, run.front)

    def test_other_data_are_refused(self, searched):
        other = {**DATA, "left": DATA["left"] + 1}
        study = {key: value for key, value in STUDY.items() if key != "data"}
        with pytest.raises(DataError, match=r"data\.parquet holds other data than those that were given"):
            nasfuse.search(study, data=other, output=searched[1])

    def test_data_are_not_written_beside_a_search_that_runs(self, tmp_path):
        folder = RunFolder(tmp_path / "run")
        with folder.locked(), pytest.raises(RunFolderError, match=r"another search is writing to .*run; wait for it"):
            nasfuse.search(None, data=DATA, output=folder.root, progress=False)
        assert [path.name for path in folder.root.iterdir()] == ["lock"]

    def test_a_folder_of_something_else(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match="exists and is not a run folder; choose another folder for the search"):
            nasfuse.search(None, data=DATA, output=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_the_network_takes_raw_data(self, searched):
        """There are few rows, so the search was cross-validated, and the networks of five folds are averaged."""
        run, folder = searched
        label = run.front.index[-1]
        network = run.network(trial=label)
        folds = [nasfuse.load_network(file) for file in RunFolder(folder).networks(int(label))]
        assert len(folds) == 5
        expected = np.mean([fold.predict_proba(DATA) for fold in folds], axis=0)
        np.testing.assert_allclose(network.predict_proba(DATA), expected, rtol=1e-12)
        np.testing.assert_allclose(network(DATA).softmax(dim=1), expected, rtol=1e-4)
        assert network.predict_table(DATA).shape == (400, 11)
        assert (network.predict(DATA) == DATA["y"]).mean() > 0.2

    def test_export(self, searched, tmp_path):
        run, _ = searched
        recipe = run.export(tmp_path / "r.yaml", pick="cheapest")
        assert Recipe.load(tmp_path / "r.yaml") == recipe == run.recipe(pick="cheapest")
        assert run.explain(pick="cheapest").startswith(
            f"Trial {run.front.index[0]} is the cheapest of the points of the "
        )
