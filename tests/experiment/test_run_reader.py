"""Reading a run, while it is written or long after; what is damaged is said in one sentence."""

import json
from dataclasses import replace

import pytest

from nasfuse.errors import MissingFileError, RunFolderError
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.spec.recipe import Recipe

RESULTS = [(0.5, 100), (0.6, 200), "it broke", (0.9, 1000), None]


@pytest.fixture
def folder(make_run, tmp_path):
    return make_run(tmp_path / "run", RESULTS)


def test_what_a_run_holds(folder):
    run = read_run(folder)
    assert run.study == folder.read_study()
    assert [(c.trial, c.measured.metric) for c in run.candidates] == [(0, 0.5), (1, 0.6), (3, 0.9)]
    assert run.objectives.reference == (0.1, 1e6)
    assert run.progress.states["running"] == 1
    assert run.progress.reasons == {2: "it broke"}
    assert folder.recipe(3).network.route


def test_reading_changes_nothing(folder):
    def content():
        files = [path for path in folder.root.rglob("*") if path.is_file() and not path.name.startswith("study.db-")]
        return {path: path.read_bytes() for path in files if path.name != "study.db"}

    read_run(folder)
    before = content()
    read_run(folder)
    assert content() == before


def test_no_folder(tmp_path):
    with pytest.raises(MissingFileError, match="is not a run folder"):
        read_run(RunFolder(tmp_path / "absent"))


def test_a_search_that_has_not_started(folder):
    for file in folder.root.glob("study.db*"):
        file.unlink()
    with pytest.raises(RunFolderError, match=r"has no study\.db yet; the search has not started"):
        read_run(folder)


def test_a_damaged_storage(folder):
    (folder.root / "study.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(RunFolderError, match=r"cannot open the study's storage .* check the file"):
        read_run(folder)


def test_a_storage_of_another_study(folder):
    text = folder.study_file.read_text()
    folder.study_file.write_text(text.replace("name: small", "name: other"))
    with pytest.raises(RunFolderError, match="holds no study 'other'"):
        read_run(folder)


def test_a_storage_elsewhere(make_run, tmp_path):
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    folder = make_run(tmp_path / "run", RESULTS, storage=url)
    assert not (folder.root / "study.db").exists()
    assert len(read_run(folder).candidates) == 3


class TestRecipes:
    ROUTED = Recipe.parse(
        {
            "data": {"source": "digits"},
            "network": {
                "route": ["left", "right"],
                "streams": {"left": {"encoder": "mlp"}, "right": {"encoder": "mlp"}},
                "fusion": {"kind": "sum"},
                "router": {"routes": ["left", "left+right"], "threshold": 0.6},
            },
        }
    )

    def recipe(self, folder, knobs):
        run = read_run(folder)
        candidate = next(one for one in run.candidates if one.trial == 3)
        return run.recipe(replace(candidate, measured=replace(candidate.measured, knobs=knobs)))

    def test_of_a_static_network(self, folder):
        assert self.recipe(folder, {}) == folder.recipe(3)

    @pytest.mark.parametrize("budget", [None, 1234])
    @pytest.mark.parametrize(
        ("knobs", "setting"),
        [
            ({"threshold": 0.25}, {"macs": 1000}),
            ({"threshold": 1e-9, "route": "left+right"}, {"macs": 1000}),
            ({"threshold": 1.0, "route": "left"}, {"threshold": 1.0, "macs": None}),
            ({"threshold": 0.0, "route": "left+right"}, {"threshold": 0.0, "macs": None}),
            ({"always": 1.0, "route": "left+right"}, {"always": "left+right", "macs": None}),
            ({"always": -1.0, "threshold": 0.25}, {"always": None, "macs": 1000}),
            ({"threshold": 1.0}, {"macs": 1000}),  # static in some trainings only, so the front names no route
            ({"threshold": 0.0}, {"macs": 1000}),
        ],
    )
    def test_of_a_point_of_a_router(self, folder, knobs, setting, budget):
        """What it spent is kept; what its threshold was, only where that is a static network."""
        plain = self.ROUTED.to_plain()
        plain["network"]["router"]["macs"] = budget
        searched = Recipe.parse(plain)
        folder.trial(3).joinpath("recipe.yaml").write_text(searched.to_yaml())
        plain["network"]["router"] |= setting
        assert self.recipe(folder, knobs) == Recipe.parse(plain)
        assert folder.recipe(3) == searched, "the file stays as it was"

    @pytest.mark.parametrize("knobs", [{"max_steps": 4}, {"tolerance": 0.1}])
    def test_of_a_point_of_an_equilibrium(self, folder, knobs):
        """Training stays as it was; what follows it has the setting."""
        plain = self.ROUTED.to_plain()
        del plain["network"]["router"], plain["training"]["routing"]
        plain["network"]["fusion"] = {"kind": "equilibrium"}
        folder.trial(3).joinpath("recipe.yaml").write_text(Recipe.parse(plain).to_yaml())
        plain["network"]["fusion"] |= {f"inference_{name}": value for name, value in knobs.items()}
        assert self.recipe(folder, knobs) == Recipe.parse(plain)

    def test_of_a_point_of_reducers(self, folder):
        streams = {"left": {"encoder": "transformer", "reducer": {"kind": "merge", "keep_ratio": 0.5}}}
        streams["right"] = {"encoder": "mlp"}
        plain = self.ROUTED.to_plain()
        del plain["network"]["router"], plain["training"]["routing"]
        plain["network"]["streams"] = streams
        plain["network"]["fusion"] = {"kind": "joint_tokens", "reducer": {"kind": "max", "keep_ratio": 0.5}}
        folder.trial(3).joinpath("recipe.yaml").write_text(Recipe.parse(plain).to_yaml())
        streams["left"]["reducer"]["inference_keep_ratio"] = 0.125
        plain["network"]["fusion"]["reducer"]["inference_keep_ratio"] = 0.25
        assert self.recipe(folder, {"keep_ratio.left": 0.125, "keep_ratio": 0.25}) == Recipe.parse(plain)

    def test_whose_folder_is_gone(self, folder):
        folder.trial(3).joinpath("recipe.yaml").unlink()
        with pytest.raises(MissingFileError, match=r"no such file: .*recipe\.yaml"):
            self.recipe(folder, {"threshold": 0.5})


def test_an_ensemble_has_the_mean_of_its_reported_metric(make_run, tmp_path):
    folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000)], ensembles=2)
    one = {"members": ["1", "0"], "metrics": [0.96, 0.98]}
    for entry, reported in ((one, None), ({**one, "reported": [0.5, 0.7]}, 0.6)):
        folder.ensembles_file.write_text(json.dumps([entry]))
        (ensemble,) = [candidate for candidate in read_run(folder).candidates if candidate.members]
        assert (ensemble.label, ensemble.measured.metric) == ("1+0", 0.97)
        assert ensemble.measured.reported_metric == (None if reported is None else pytest.approx(reported))
