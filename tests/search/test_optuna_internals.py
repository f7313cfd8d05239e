"""The adapter for Optuna's private names: each is where the adapter expects it, and only the adapter uses them."""

import ast
import importlib
import inspect
import re
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from nasfuse.search import optuna_internals
from nasfuse.search.optuna_internals import (
    EditableStorage,
    TrialDatabase,
    contains,
    forget_cached_trials,
    read_trials,
    storage_of,
    study_id_of,
    trial_id_of,
)

PACKAGE = Path(__file__).parents[2] / "nasfuse"
ADAPTER = Path(inspect.getfile(optuna_internals))

#: Private attribute to objects that have it.
OWNERS = {
    "_study_id": lambda study: [study, storage_of(study).get_all_studies()[0]],
    "_storage": lambda study: [study],
    "_thread_local": lambda study: [study],
    "_trial_id": lambda study: [study.ask(), study.get_trials()[0]],
    "_contains": lambda study: [IntDistribution(0, 1), FloatDistribution(0, 1)],
    "_trial_id_to_study_id_and_number": lambda study: [InMemoryStorage()],
    "_get_trial": lambda study: [InMemoryStorage()],
    "_set_trial": lambda study: [InMemoryStorage()],
    "_studies": lambda study: [InMemoryStorage()],
    "_prev_waiting_trial_number": lambda study: [InMemoryStorage()],
    "_get_trials": lambda study: [RDBStorage("sqlite://")],
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_attributes(tree):
    """Yields the attribute nodes whose name begins with one underscore."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node


def private_uses(source):
    """Yields the private names that a module uses and does not define itself."""
    tree = ast.parse(source)
    own = {node.attr for node in private_attributes(tree) if isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    fields = (node.target for node in ast.walk(tree) if isinstance(node, ast.AnnAssign))
    own |= {target.id for target in fields if isinstance(target, ast.Name)}
    for node in private_attributes(tree):
        of_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not (of_itself and node.attr in own):
            yield node.attr
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna"):
            yield from (part for part in node.module.split(".") if is_private(part))
            yield from (alias.name for alias in node.names if is_private(alias.name))
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names if alias.name.startswith("optuna")]
            yield from (part for name in dotted for part in name.split(".") if is_private(part))


def knows_optuna(source):
    return re.search(r"^\s*(import|from) (optuna|nasfuse\.search)\b", source, re.MULTILINE) is not None


def test_every_private_name_of_the_adapter_is_listed():
    used = {node.attr for node in private_attributes(ast.parse(ADAPTER.read_text("utf-8")))}
    assert used == OWNERS.keys(), "list each private attribute that the adapter uses with an object that has it"


@pytest.mark.parametrize("name", OWNERS)
def test_optuna_has_the_private_name(name):
    for owner in OWNERS[name](optuna.create_study()):
        assert hasattr(owner, name), (
            f"Optuna {optuna.__version__} has no {type(owner).__name__}.{name} any more; find its successor and change "
            "nasfuse/search/optuna_internals.py"
        )


def test_optuna_still_has_the_frozen_study():
    module = importlib.import_module("optuna.study._frozen")
    assert hasattr(module, "FrozenStudy"), (
        f"Optuna {optuna.__version__} has moved FrozenStudy out of optuna.study._frozen; change its import in "
        "nasfuse/search/optuna_internals.py"
    )


def test_identifiers_and_the_storage_are_those_of_the_study():
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="first")
    study = optuna.create_study(storage=storage, study_name="second")
    trial = study.ask()
    assert storage_of(study) is storage
    assert study_id_of(study) == storage.get_study_id_from_name("second")
    assert storage.get_trial(trial_id_of(trial)).number == trial.number
    assert [study_id_of(one) for one in storage.get_all_studies() if one.study_name == "second"] == [study_id_of(study)]


@pytest.mark.parametrize(
    ("distribution", "value", "expected"),
    [
        (FloatDistribution(0, 1), 1.0, True),
        (FloatDistribution(0, 1), 1.1, False),
        (FloatDistribution(0, 1, step=0.25), 0.75, True),
        (FloatDistribution(0, 1, step=0.25), 0.8, False),
        (IntDistribution(2, 8, step=2), 4.0, True),
        (IntDistribution(2, 8, step=2), 5.0, False),
    ],
)
def test_contains(distribution, value, expected):
    assert contains(distribution, value) is expected


def ask_for_all(study):
    """Returns a trial with rows in every table but that of values."""
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.set_user_attr("why", "by hand")
    trial.report(0.5, step=1)
    return trial


class TestTrialDatabase:
    @pytest.fixture(scope="class")
    def url(self, tmp_path_factory):
        """A study with trials of every kind, after those of another study."""
        url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'study.db'}"
        other = optuna.create_study(storage=url, study_name="other")
        other.enqueue_trial({"x": 0.5})
        study = optuna.create_study(storage=url, study_name="own", directions=["maximize", "minimize"])
        study.enqueue_trial({"x": 0.5, "kind": "b"}, user_attrs={"why": ["by", {"hand": None}]})
        for values in ((1.0, float("inf")), (-float("inf"), 0.25), None):
            trial = study.ask()
            trial.suggest_categorical("kind", ["a", "b", None])
            trial.suggest_float("x", 1e-3, 1.0, log=True)
            trial.suggest_int("n", 2, 8, step=2)
            if trial.number:  # the order of several is not defined
                trial.set_user_attr("number", trial.number)
            if values is not None:
                study.tell(trial, values)
        study.tell(study.ask(), state=TrialState.FAIL)
        single = optuna.create_study(storage=url, study_name="single")
        for value in (0.5, float("nan"), float("inf")):
            trial = single.ask()
            trial.report(value, step=3)
            trial.report(1.0, step=1)
        return url

    @pytest.mark.parametrize("name", ["other", "own", "single"])
    @pytest.mark.parametrize("states", [None, (TrialState.COMPLETE, TrialState.FAIL), ()])
    def test_it_reads_what_optuna_reads(self, url, name, states):
        ours, theirs = TrialDatabase(url), RDBStorage(url)
        number = theirs.get_study_id_from_name(name)
        found, expected = (storage.get_all_trials(number, states=states) for storage in (ours, theirs))
        assert repr(found) == repr(expected), "NaN is not equal to itself"
        assert [list(trial.params) for trial in found] == [list(trial.params) for trial in expected]
        for after in (0, 2, 4, 100):
            for also in (set(), {1, 3}):
                some = [read_trials(storage, number, after=after, and_also=also) for storage in (ours, theirs)]
                assert repr(some[0]) == repr(some[1])

    def test_trials_that_are_written_while_it_reads(self, tmp_path):
        """Each table is read by itself; what is created in between is left to the next reading."""
        url = f"sqlite:///{tmp_path / 'study.db'}"
        with sqlite3.connect(tmp_path / "study.db") as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # readers do not lock it
        study = optuna.create_study(storage=url, study_name="own")
        study.tell(ask_for_all(study), 0.5)
        ours = TrialDatabase(url)
        number = ours.get_study_id_from_name("own")

        @event.listens_for(ours.engine, "after_cursor_execute")
        def write(*_arguments):
            study.tell(ask_for_all(study), 0.25)

        found = ours.get_all_trials(number)
        event.remove(ours.engine, "after_cursor_execute", write)
        everything = RDBStorage(url).get_all_trials(number)
        assert 1 <= len(found) < len(everything)
        assert repr(found) == repr(everything[: len(found)])

    def test_it_can_leave_out_the_parameters(self, url):
        whole, quick = TrialDatabase(url), TrialDatabase(url)
        quick.reads_parameters = False
        number = whole.get_study_id_from_name("own")
        pairs = list(zip(whole.get_all_trials(number), quick.get_all_trials(number), strict=True))
        assert any(one.params for one, _ in pairs)
        for one, other in pairs:
            assert (other.params, other.distributions) == ({}, {})
            assert (other.values, other.user_attrs, other.system_attrs) == (
                one.values,
                one.user_attrs,
                one.system_attrs,
            )

    def test_a_study_that_is_not_there(self, url):
        with pytest.raises(KeyError):
            TrialDatabase(url).get_all_trials(100)


def test_trials_share_equal_distributions():
    study = optuna.create_study(storage=EditableStorage())
    for _ in range(2):
        trial = study.ask()
        trial.suggest_categorical("kind", ["a", "b"])
        trial.suggest_int("width", 8, 32)
    first, second = study.trials
    assert all(first.distributions[name] is second.distributions[name] for name in ("kind", "width"))
    assert all(trial.distributions["width"] == IntDistribution(8, 32) for trial in (first, second))


def test_a_draft_can_be_reset_and_given_other_parameters():
    storage = EditableStorage()
    study = optuna.create_study(storage=storage)
    draft = study.ask()
    draft.suggest_float("x", 0, 1)
    draft.set_user_attr("note", "first")
    storage.reset_trial(trial_id_of(draft), fixed={"x": 0.25})
    (trial,) = study.get_trials()
    assert (trial.number, trial.params, trial.user_attrs) == (0, {}, {})
    assert storage.study_id_of_trial(trial_id_of(draft)) == study_id_of(study)
    assert optuna.trial.Trial(study, trial_id_of(draft)).suggest_float("x", 0, 1) == 0.25


def test_trials_that_samplers_keep_are_read_anew_when_forgotten():
    seen = []

    class Looking(optuna.samplers.RandomSampler):
        def sample_independent(self, study, trial, *args):
            seen.append([dict(one.params) for one in study._get_trials(deepcopy=False, use_cache=True)])
            return super().sample_independent(study, trial, *args)

    study = optuna.create_study(sampler=Looking(seed=0), storage=EditableStorage())
    draft = study.ask()
    first = draft.suggest_float("x", 0, 1)
    storage_of(study).reset_trial(trial_id_of(draft))
    forget_cached_trials(study)
    optuna.trial.Trial(study, trial_id_of(draft)).suggest_float("y", 0, 1)
    assert 0 <= first <= 1
    assert seen[-1] == [{}], "the parameters that were taken back are gone"


def test_no_other_module_uses_private_names_of_optuna():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text("utf-8")
        if path != ADAPTER and knows_optuna(source):
            names = sorted(set(private_uses(source)))
            if names:
                found[path.relative_to(PACKAGE).as_posix()] = names
    assert not found, f"private names outside of nasfuse/search/optuna_internals.py: {found}"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import optuna\nstudy._study_id", ["_study_id"]),
        ("from optuna.study._frozen import FrozenStudy", ["_frozen"]),
        ("import optuna._callbacks", ["_callbacks"]),
        ("class A(InMemoryStorage):\n    def f(self):\n        return self._get_trial(0)", ["_get_trial"]),
        ("class A:\n    def f(self):\n        self._x = 1\n        return self._x", []),
        ("class A:\n    def _f(self):\n        return self._f()", []),
    ],
)
def test_what_counts_as_a_private_name(source, names):
    assert list(private_uses(source)) == names
