"""A whole search: what stops it, what it writes, what it refuses; once through Ray itself."""

import math
import shutil

import numpy as np
import optuna
import pytest
import torch

from nasfuse.backends.outcome import Failed, Stopped
from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import (
    ConfigError,
    DataError,
    DataWarning,
    InvalidInputError,
    MissingFileError,
    RecurringFailureError,
    RunFolderError,
)
from nasfuse.experiment import run as search
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.plain_comparison import read_plain_scores
from nasfuse.experiment.plain_models import constant_score
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.storage import open_storage
from nasfuse.search.trial import TrialView
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig
from nasfuse.train import load_checkpoint
from tests.in_process import InProcess
from tests.tiny_study import TINY

PLAIN = {**TINY, "budget": {"trials": 6}}
RECORD = {"epochs": 2, "epochs_asked": 3}


def study(**changes):
    budget = {"repeats": 1, **changes.pop("budget", PLAIN["budget"])}
    return StudyConfig.parse({**PLAIN, **changes, "budget": budget})


class Display:
    """Remembers what it was shown."""

    def __init__(self):
        self.events = []

    def ready(self, dataset, *, workers, progress, seconds):
        self.events.append(f"ready with {workers}")

    def phase(self, text): ...

    def note(self, text):
        self.events.append(f"note: {text}")

    def started(self, assignment):
        self.events.append(f"started {assignment.number}")

    def ended(self, number, outcome, *, progress, seconds):
        how = "complete"
        if isinstance(outcome, Failed):
            how = f"failed: {outcome.reason}"
        elif isinstance(outcome, Stopped):
            how = f"stopped after {outcome.epoch}"
        self.events.append(f"trial {number} {how}")


def measured(metric=0.5, macs=100):
    point = OperatingPoint(metric=metric, macs=macs, params=1, latency_s=1e-3, latency_iqr_s=0.0, peak_bytes=1)
    return Measurements((point,), RECORD)


def wide_is_good(recipe, *, seed, division, folder, report, weight_sources, rungs=(), ends_s=None):
    """An objective without training: the wider the better, and the dearer."""
    (folder / "model.pt").write_text("weights")
    width = sum(stream.width for stream in recipe.network.streams.values())
    return measured(width / 100, 10 * width)


def stored_trials(folder, asked):
    storage = open_storage(folder.storage_url(asked))
    return optuna.load_study(study_name=asked.name, storage=storage).trials


def route_names(recipe):
    router = recipe.network.router
    return ["+".join(recipe.network.route)] if router is None else router.routes


@pytest.fixture
def in_process(monkeypatch):
    """Searches run on a simulated backend of `in_process.capacity`, without Ray."""
    backend = InProcess()
    monkeypatch.setattr(search, "_open_ray", lambda *_: backend.open)
    return backend


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def run(folder, objective=wide_is_good, **changes):
    display = Display()
    return run_search(study(**changes), folder, display=display, objective=objective), display.events


class TestWithoutRay:
    def test_it_ends_with_its_budget(self, in_process, folder):
        progress, events = run(folder)
        assert progress.states["complete"] == progress.done == 6
        assert events[0] == "ready with 1"
        assert events.count("trial 3 complete") == 1
        assert progress.best_baseline.baseline == "both"

    def test_the_database_is_one_file_in_the_end(self, in_process, folder):
        """It is whole without its write-ahead log, also after somebody has read it."""
        run(folder)
        assert [file.name for file in folder.root.glob("study.db*")] == ["study.db"]
        n_trials = len(read_run(folder).trials)
        assert n_trials >= 6
        for file in folder.root.glob("study.db-*"):
            file.unlink()
        assert len(read_run(folder).trials) == n_trials

    @pytest.mark.parametrize(("n_trials", "told"), [(1000, True), (2, False)])
    def test_the_limit_that_ended_it_is_told(self, in_process, folder, n_trials, told):
        progress, events = run(folder, budget={"trials": n_trials, "minutes": 0.03})
        note = f"note: the time of 0.03 min ended the search after {progress.done} of 1000 trials; a larger --minutes"
        assert any(event.startswith(note) for event in events) == told

    def test_a_member_that_comes_back_to_the_front_has_its_network(self, in_process, folder):
        """Two lucky networks hide a good one until they are trained again."""
        lucky = []

        def hiding(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            (folder / "model.pt").write_text("weights")
            if recipe.hash in lucky:
                return measured(0.0, 10)
            if len(recipe.network.route) > 1:
                return measured(0.5, 100)
            if len(lucky) < 2:
                lucky.append(recipe.hash)
                return measured(0.8 + len(lucky) / 20, 9 + len(lucky))
            return measured(0.05, 1000)

        progress, _ = run(folder, hiding, budget={"trials": 20, "repeats": 2})
        best = progress.best
        assert (best.baseline, best.measured.metric) == ("both", 0.5)
        assert folder.network(best.trial).is_file()
        assert all(folder.network(member.trial).is_file() for member in progress.front)

    @pytest.mark.slow
    def test_networks_of_the_front_are_what_was_measured(self, in_process, folder):
        """Of routed networks with keep ratios, each at its setting; cheap to train, so every trial is a real one."""
        transformer = {"network.streams.*.encoder": "transformer", "network.streams.*.stride": 2}
        space = {
            "fields": {"network.route": {"subsets": True, "choices": ["each > all"]}},
            "fixed": {
                **transformer,
                "network.streams.*.depth": 1,
                "network.streams.*.width": 8,
                "network.streams.*.reducer.kind": "merge",
                "network.streams.*.reducer.keep_ratio": 0.5,
                "training.epochs": 2,
                "training.lr": 0.01,
            },
            "baselines": {"routed": {"network.route": "each > all"}, "both": {"network.route": "all"}},
        }
        display = Display()
        asked = study(space=space, budget={"trials": 4, "repeats": 2}, stopping="off")
        progress = run_search(asked, folder, display=display)
        trials = {trial.number: trial for trial in stored_trials(folder, asked)}
        checks = {one.label: one.check for one in read_checks(folder)}
        assert any(member.point for member in progress.front)
        for member in progress.front:
            told = trials[member.trial].user_attrs["points"][member.point]
            path = folder.network(member.trial)
            judged = evaluate_checkpoint(path, split="val", device=torch.device("cpu"), point=member.point)
            assert judged["value"] == told["metric"]
            assert judged["settings"].items() >= OperatingPoint(**told).settings.items()
            assert checks[member.label].status == "equal"
            assert checks[member.label].counted.keys() == set(route_names(folder.recipe(member.trial)))

    def test_where_weights_are_inherited_all_networks_are_kept_for_later_sessions_too(self, in_process, folder):
        inherited = []

        def note(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            inherited.extend(file.is_file() for file in weight_sources.values())
            return wide_is_good(
                recipe, seed=seed, division=division, folder=folder, report=report, weight_sources=weight_sources
            )

        for n_trials in (12, 20):
            before = len(inherited)
            run(folder, note, inherit=True, budget={"trials": n_trials, "repeats": 2})
            assert len(inherited) > before
            assert len(list(folder.root.glob("trials/*/model.pt"))) == n_trials
        assert all(inherited)

    @pytest.mark.parametrize("workers", [1, 2, 5])
    def test_a_running_trial_keeps_the_network_it_has_just_written(self, in_process, folder, workers):
        """With several workers a network is on disk some time before its result is known."""
        in_process.capacity = workers
        progress, _ = run(folder, budget={"trials": 12}, resources={"workers": workers})
        assert all((folder.trial(candidate.trial) / "model.pt").is_file() for candidate in progress.front)

    @pytest.mark.parametrize("is_replaced", [False, True])
    def test_a_folder_that_is_moved_ends_the_search(self, in_process, folder, tmp_path, is_replaced):
        moved = tmp_path / "moved"

        def moving(recipe, **options):
            if options["folder"].name == "2":
                folder.root.rename(moved)
                if is_replaced:
                    shutil.copytree(moved, folder.root)
            return wide_is_good(recipe, **options)

        match = r"run was moved or removed while its search ran, which has ended; move it back, in place of "
        with pytest.raises(RunFolderError, match=match):
            run(folder, moving)
        assert folder.root.exists() is is_replaced
        shutil.rmtree(folder.root, ignore_errors=True)
        moved.rename(folder.root)
        progress, events = run(folder)
        assert progress.states["complete"] == 6
        assert "started 2" in events

    def test_a_search_is_continued(self, in_process, folder):
        run(folder, budget={"trials": 4})
        _, events = run(folder, budget={"trials": 4})
        assert events == [], "the budget is spent"
        progress, events = run(folder, budget={"trials": 7})
        assert [event for event in events if event.startswith("started")] == ["started 4", "started 5", "started 6"]
        assert progress.states["complete"] == 7

    def test_failures_count_and_the_search_continues(self, in_process, folder):
        def moody(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            number = int(folder.name)
            if number == 1:
                raise RuntimeError("no mood")
            return measured(math.nan if number == 3 else 0.5)

        progress, events = run(folder, moody)
        assert progress.states["complete"] == 4
        assert progress.done == 6
        assert progress.reasons == {1: "RuntimeError: no mood", 3: "the measurements are not finite: metric is nan"}
        assert "trial 1 failed: RuntimeError: no mood" in events

    def test_every_trial_may_fail(self, in_process, folder):
        def never(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            raise RuntimeError("no mood")

        progress, _ = run(folder, never, budget={"trials": 4})
        assert progress.states["failed"] == 4
        assert (progress.front, progress.best, progress.hypervolume) == ([], None, 0.0)
        assert read_run(folder).candidates == []

    def test_equal_failures_end_the_search_and_are_not_counted(self, in_process, folder):
        causes = {"no luck"}

        def try_it(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            for cause in causes:
                raise ValueError(f"{cause}: {folder.name}")
            return wide_is_good(
                recipe, seed=seed, division=division, folder=folder, report=report, weight_sources=weight_sources
            )

        for first in (0, 5):
            message = (
                rf"5 trainings in a row failed, .*trial {first + 4}\) with: ValueError: no luck: .*trials/{first + 4}\)"
            )
            with pytest.raises(RecurringFailureError, match=message):
                run(folder, try_it, budget={"trials": 40})
        causes.clear()
        progress, events = run(folder, try_it, budget={"trials": 8})
        assert progress.states["complete"] == progress.done == 8
        assert events[1] == "started 10"
        assert read_run(folder).progress.done == 8

    def test_nothing_above_max_macs_is_trained(self, in_process, folder):
        trained = []

        def note(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            trained.append(recipe)
            return wide_is_good(
                recipe, seed=seed, division=division, folder=folder, report=report, weight_sources=weight_sources
            )

        dataset = search.cached_dataset(study().data.model_dump_json())
        limit = 2500
        progress, _ = run(folder, note, max_macs=limit, budget={"trials": 12}, sampler="random")
        assert len(trained) == 12
        assert all(search.macs_of(recipe, dataset) <= limit for recipe in trained)
        assert progress.states["over_max_macs"] > 0

    def test_invalid_draws_are_recorded_and_do_not_use_up_the_budget(self, in_process, folder):
        space = {
            "fields": {"network.streams.*.heads": {"choices": [4, 3]}, "network.streams.*.width": {"choices": [8, 12]}},
            "fixed": {"network.streams.*.encoder": "transformer", "network.streams.*.stride": 4},
        }
        progress, _ = run(folder, space=space, sampler="random")
        assert progress.states["complete"] == 6
        assert progress.states["failed"] == len(progress.reasons) > 0

    def test_another_study_is_refused_before_anything_is_written(self, in_process, folder):
        run(folder)
        before = {path: path.read_bytes() for path in folder.root.rglob("*.yaml")}
        with pytest.raises(RunFolderError, match="holds another study: seed differ"):
            run(folder, seed=8)
        assert {path: path.read_bytes() for path in folder.root.rglob("*.yaml")} == before

    def test_two_searches_in_one_folder_are_refused(self, in_process, folder):
        def second(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            with pytest.raises(RunFolderError, match="another search is writing to"):
                run(RunFolder(folder.parents[1]))
            return measured()

        progress, _ = run(folder, second, budget={"trials": 1})
        assert progress.states["complete"] == 1

    @pytest.mark.parametrize(("asked", "used"), [(None, 2), (1, 1), (2, 2), (100, 2)])
    def test_no_more_workers_than_the_machine_runs_at_a_time(self, in_process, folder, asked, used):
        _, events = run(folder, resources={"workers": asked})
        notes = [event for event in events if event.startswith("note")]
        assert events[len(notes)] == f"ready with {used}"
        said = "note: workers: 100 were asked for, and 2 trials of 1 core and 0 GPUs can run at a time here"
        assert [note.partition(";")[0] for note in notes] == ([said] if asked == 100 else [])
        (stored,) = open_storage(folder.storage_url(study())).get_all_studies()
        assert stored.user_attrs["lag"] == 8

    def test_a_cluster_without_room_yet_is_believed_to_grow(self, in_process, folder, monkeypatch):
        in_process.capacity = 0
        opening = in_process.open(wide_is_good, resources=None, folder_of=folder.trial, scratch=None)
        backend = opening.enter_result
        backend.can_grow = True
        monkeypatch.setattr(in_process, "open", lambda *_, **__: opening)

        class Grown(Display):
            def ready(self, *arguments, **options):
                super().ready(*arguments, **options)
                backend.capacity = 6

        display = Grown()
        run_search(study(resources={"workers": 6}), folder, display=display, objective=wide_is_good)
        assert display.events[0].endswith("can run at a time there now; more run when nodes join")
        assert display.events[1] == "ready with 6"

    def test_more_workers_than_a_study_was_started_for(self, in_process, folder):
        run(folder, budget={"trials": 2})
        in_process.capacity = 30
        _, events = run(folder, budget={"trials": 4}, resources={"workers": 30})
        assert "workers: 30 are available, and this study has at most 8 trainings under way" in events[0]
        assert events[1] == "ready with 8"

    def test_a_space_that_is_used_up(self, in_process, folder):
        space = {
            "fields": {"network.streams.*.width": {"choices": [8, 16]}},
            "fixed": {"network.streams.*.encoder": "mlp"},
        }
        progress, events = run(folder, space=space, budget={"trials": 100})
        assert progress.done == progress.states["complete"] == 4
        assert events[-1].startswith("note: every network of the space that may be trained was trained")

    @pytest.mark.parametrize(("cost", "reference"), [("latency_s", 1.0), ("peak_bytes", 2.0**30)])
    def test_a_cost_that_is_measured(self, in_process, folder, cost, reference):
        progress, _ = run(folder, cost=cost)
        assert read_run(folder).objectives.reference[1] == reference
        assert progress.hypervolume > 0

    @pytest.mark.parametrize("cost", ["macs", "params"])
    def test_a_cost_that_is_known_beforehand(self, in_process, folder, cost):
        run(folder, cost=cost)
        metric, highest = read_run(folder).objectives.reference
        assert 0.08 < metric < 0.13, "a constant guess among ten digits"
        assert 1e3 < highest < 1e6


@pytest.fixture
def tokens(tmp_path):
    """A file with token ids and a vector."""
    random = np.random.default_rng(0)
    arrays = {
        "ids": random.integers(0, 9, (120, 5)),
        "v": random.normal(size=(120, 3)),
        "y": random.integers(0, 2, 120),
    }
    np.savez(tmp_path / "tokens.npz", **arrays)
    modalities = {"ids": {"kind": "sequence", "vocabulary": 9}, "v": "vector"}
    return {"source": str(tmp_path / "tokens.npz"), "modalities": modalities}


class TestRefusals:
    """Each is one sentence, and nothing has been written."""

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"sampler": "tpee"}, ConfigError, "sampler: 'tpee' is not known; did you mean 'tpe'"),
            ({"data": {"source": "absent.npz"}}, MissingFileError, r"no data set 'absent\.npz'"),
            ({"fixed": {"network.streams.middle.width": 8}}, ConfigError, "the data has no modality 'middle'"),
            (
                {"fixed": {"network.streams.*.stride": 64, "training.epochs": 0}},
                ConfigError,
                "fixed.training.epochs: 0",
            ),
            (
                {"max_macs": 10},
                InvalidInputError,
                r"max_macs: no network of at most 10 MACs was found.*raise it",
            ),
        ],
    )
    def test_of_a_study(self, in_process, folder, changes, error, message):
        with pytest.raises(error, match=message):
            run(folder, **changes)
        assert not folder.root.exists()

    def test_a_wrong_storage_is_told_before_data_are_read(self, in_process, folder, monkeypatch):
        monkeypatch.setattr(search, "cached_dataset", None)
        with pytest.raises(RunFolderError, match="cannot open the study's storage"):
            run(folder, storage="nonsense")
        assert not folder.root.exists()

    @pytest.mark.parametrize("max_macs", [None, 1000])
    def test_a_space_without_any_valid_network(self, in_process, folder, max_macs):
        space = {
            "fields": {"training.lr": {"choices": [0.1]}},
            "fixed": {"network.streams.*.encoder": "conv", "network.streams.*.stride": 64},
        }
        with pytest.raises(
            InvalidInputError, match="none of 128 networks drawn from the space of study tiny can be trained"
        ):
            run(folder, space=space, max_macs=max_macs)

    def test_a_study_that_no_training_could_run_is_refused(self, in_process, folder, tokens):
        fixed = {"training.mixup": 0.2, "network.route": "ids+v"}
        with pytest.raises(
            InvalidInputError, match=r"can be trained; the reason: fixed: training\.mixup: token ids"
        ) as e:
            run(folder, data=tokens, fixed=fixed)
        assert e.value.exit_code == 2
        assert not folder.root.exists()

    def test_the_message_names_the_space_if_no_training_could_run(self, in_process, folder, tokens):
        space = {**PLAIN["space"], "fixed": {**PLAIN["space"]["fixed"], "training.mixup": 0.2}}
        del space["baselines"], space["recommended"]
        with pytest.raises(
            InvalidInputError, match=r"can be trained; the reason: space\.fixed: training\.mixup: token"
        ):
            run(folder, data=tokens, space=space, fixed={"network.route": "ids+v"})

    def test_networks_that_cannot_be_trained_are_never_trained(self, in_process, folder, tokens):
        """Mixup is right for the route that has no token ids; one in three has none."""
        progress, events = run(folder, data=tokens, fixed={"training.mixup": 0.2})
        assert events[0].startswith("note: hand-made designs that cannot be trained here: one: ids; both (tr")
        assert events[0].count("training.mixup: token ids cannot be averaged") == 1
        assert progress.done == progress.states["complete"] == 6
        for number in read_run(folder).progress.reasons:
            assert not folder.trial(number).exists()
        recipes = [Recipe.load(path) for path in folder.root.glob("trials/*/recipe.yaml")]
        assert {recipe.network.route for recipe in recipes} == {("v",)}

    @pytest.mark.parametrize("is_file", [True, False])
    def test_of_a_folder(self, in_process, tmp_path, is_file):
        (tmp_path / "x").write_text("mine")
        with pytest.raises(RunFolderError, match="choose another with -o"):
            run(RunFolder(tmp_path / "x" if is_file else tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["x"], "not even a lock"

    @pytest.mark.parametrize(
        ("labels", "values", "modality", "message"),
        [
            ([0.5, 1.5] * 20, 0.0, "a", "label"),
            ([0, -3] * 20, 0.0, "a", "label"),
            ([0, 1] * 20, np.nan, "a", "NaN"),
            ([0, 1] * 20, 0.0, "b", r"has no array 'b' \(data.modalities.b\)"),
        ],
    )
    def test_of_data(self, in_process, folder, tmp_path, labels, values, modality, message):
        arrays = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        arrays[7, 1] += values
        np.savez(tmp_path / "bad.npz", a=arrays, y=np.array(labels))
        data = {"source": str(tmp_path / "bad.npz"), "modalities": {modality: {"kind": "vector"}}}
        with pytest.raises(DataError, match=message):
            run(folder, data=data)
        assert not folder.root.exists()


def test_a_setting_without_effect_in_the_whole_space_is_told(in_process, folder):
    space = {**PLAIN["space"], "fixed": {**PLAIN["space"]["fixed"], "training.mixup_at": "manifold"}}
    with pytest.warns(DataWarning, match=r"^training\.mixup_at has no effect: training\.mixup is 0, so nothing"):
        run(folder, space=space, budget={"trials": 1})


class TestWhereTheDataAre:
    """The path of a file is no part of a study; its content is."""

    @pytest.fixture
    def study_at(self, tmp_path):
        def make(name, *, seed=0, trials=3):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            values = np.random.default_rng(seed).normal(size=(40, 3)).astype(np.float32)
            np.savez(tmp_path / name, a=values, y=np.arange(40) % 2)
            data = {"source": str(tmp_path / name), "modalities": {"a": {"kind": "vector"}}}
            return study(data=data, budget={"trials": trials})

        return make

    def go_on(self, study, folder):
        return run_search(study, folder, display=Display(), objective=wide_is_good).states["complete"]

    @pytest.mark.parametrize("name", ["there/a.npz", "b.npz"], ids=["moved", "renamed"])
    def test_a_search_continues_with_the_same_data_at_another_path(self, in_process, folder, study_at, tmp_path, name):
        self.go_on(study_at("a.npz"), folder)
        (tmp_path / "a.npz").unlink()
        assert self.go_on(study_at(name, trials=5), folder) == 5
        assert folder.read_study().data.source == str(tmp_path / name), "the run knows where its data are now"
        found = read_run(folder)
        for candidate in found.candidates:
            assert found.recipe(candidate).data.source == str(tmp_path / name)

    @pytest.mark.parametrize("name", ["a.npz", "b.npz"], ids=["at the same path", "at another path"])
    def test_other_data_are_refused(self, in_process, folder, study_at, name):
        self.go_on(study_at("a.npz"), folder)
        before = folder.study_file.read_bytes()
        with pytest.raises(RunFolderError, match="holds trials on other data than these; name the file it began with"):
            self.go_on(study_at(name, seed=1, trials=5), folder)
        assert folder.study_file.read_bytes() == before
        assert len(read_run(folder).candidates) == 3


class TestConstantMetric:
    def make(self, targets, task):
        values = np.zeros((len(targets), 2), dtype=np.float32)
        values[:, 0] = np.arange(len(targets))
        splits = np.array(["train"] * 4 + ["val"] * 4 + ["test"] * 2)
        return build_dataset("x", {"v": ModalityArrays("vector", values)}, targets=targets, task=task, splits=splits)

    def test_the_most_frequent_class(self):
        dataset = self.make(np.array([1, 1, 1, 0, 1, 1, 0, 0, 1, 0]), "multiclass")
        assert constant_score([dataset], "accuracy") == 0.5

    def test_the_shares_of_the_classes_for_the_log_loss(self):
        dataset = self.make(np.array([1, 1, 1, 0, 1, 1, 0, 0, 1, 0]), "multiclass")
        assert constant_score([dataset], "log_loss") == pytest.approx(-(np.log(1.5 / 5) + np.log(3.5 / 5)) / 2)
        assert constant_score([dataset], "auc") == 0.5

    def test_the_median(self):
        dataset = self.make(np.array([1.0, 2.0, 2.0, 9.0, 2.0, 4.0, 0.0, 2.0, 1.0, 1.0]), "regression")
        assert constant_score([dataset], "mae") == pytest.approx(1.0)

    @pytest.mark.parametrize(("a", "b"), [(60.0, 1.7e9), (-1e-9, 0.0), (1e19, 1e19)])
    def test_the_reference_of_a_regression_has_the_unit_of_the_data(self, a, b):
        values = np.random.default_rng(0).normal(size=10)
        plain, changed = self.make(values, "regression"), self.make(a * values + b, "regression")
        assert constant_score([changed], "mae") == pytest.approx(abs(a) * constant_score([plain], "mae"), rel=1e-5)
        assert constant_score([changed], "r2") == pytest.approx(constant_score([plain], "r2"), abs=1e-5)

    def test_the_mean_for_r2(self):
        dataset = self.make(np.array([0.0, 0.0, 0.0, 8.0, 1.0, 3.0, 1.0, 3.0, 0.0, 1.0]), "regression")
        assert constant_score([dataset], "r2") == pytest.approx(0.0, abs=1e-6), "train and val have the same mean"

    def test_the_more_frequent_answer_of_each_label(self):
        targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 0], [1, 1], [0, 0], [1, 0], [1, 0], [0, 1]])
        assert constant_score([self.make(targets, "multilabel")], "micro_f1") == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))


def test_macs_are_known_without_room_for_weights():
    dataset = search.cached_dataset(study().data.model_dump_json())
    huge = {"encoder": "mlp", "depth": 64, "width": 8192, "expansion": 16}
    recipe = Recipe.parse({"data": {"source": "digits"}, "network": {"route": ["left"], "streams": {"left": huge}}})
    state = torch.random.get_rng_state()
    assert search.macs_of(recipe, dataset) > 64 * 2 * 16 * 8192**2
    assert torch.equal(torch.random.get_rng_state(), state)


class TestCrossValidation:
    """A search in which every network is cross-validated."""

    def test_repetitions_have_other_folds_and_the_front_can_be_trained(self, in_process, folder, tmp_path):
        asked = study(
            data={"source": "digits", "validation": {"folds": 2}}, budget={"trials": 12, "repeats": 2}, sampler="random"
        )
        progress = run_search(asked, folder, display=Display())
        trials = [TrialView(trial) for trial in stored_trials(folder, asked)]
        assert all(trial.is_complete for trial in trials)
        repeated = [trial for trial in trials if trial.is_repetition]
        assert repeated, "the last fifth of the budget"
        for trial in trials:
            divisions = [
                load_checkpoint(folder.trial(trial.number) / f"fold{k}" / "model.pt")["division"] for k in (0, 1)
            ]
            assert divisions == ([2, 3] if trial.is_repetition else [0, 1])
            assert not trial.rungs, "no training is compared by a single fold"
        constant = read_plain_scores(folder).constant[0]
        assert read_run(folder).objectives.reference[0] == constant, "of the samples of all folds"
        recipe = read_run(folder).recipe(progress.front[0])
        assert recipe.data.validation == asked.data.validation
        result = train_recipe(
            recipe, tmp_path / "final", n_seeds=1, seed=0, device=torch.device("cpu"), report=lambda *_: None
        )
        assert result.spread("val") == (None, None)

    def test_networks_with_a_router_are_left_out(self, in_process, folder):
        space = {
            **PLAIN["space"],
            "fields": {
                **PLAIN["space"]["fields"],
                "network.route": {"subsets": True, "choices": ["each > all"]},
                "network.router.kind": {"choices": ["gate"], "when": {"network.route": {"dynamic": True}}},
            },
            "baselines": {"one": {"network.route": "each"}, "routed": {"network.route": "each > all"}},
            "recommended": ["routed"],
        }
        display = Display()
        asked = study(data={"source": "digits", "validation": {"folds": 2}}, space=space, budget={"trials": 4})
        progress = run_search(asked, folder, display=display)
        (note,) = [event for event in display.events if event.startswith("note")]
        assert note == (
            "note: networks with a router are not searched (2 hand-made designs among them): cross-validation leaves "
            "no validation samples to set a router on"
        )
        assert progress.front
        assert all(folder.recipe(member.trial).network.router is None for member in progress.front)
