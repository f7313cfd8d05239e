"""Families of networks, and how often each was tried."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nasfuse.errors import InvalidInputError
from nasfuse.search.parameters import Condition, Parameter
from nasfuse.search.samplers import Domain, KnownCostSampler
from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.coverage import Coverage, suggested_rows
from nasfuse.search.samplers.families import Families
from nasfuse.search.trial import TrialView

ROUTE, KIND = "network.route", "network.fusion.kind"
KINDS = ["concat", "sum", "gated", "low_rank", "equilibrium"]


def of_fusion(name, distribution, kind):
    return Parameter(name, distribution, 1, (Condition(KIND, values=(kind,)),))


DOMAIN = Domain(
    [
        Parameter(ROUTE, CategoricalDistribution(["a+v", "a > a+v"]), "a+v"),
        Parameter("network.streams.a.encoder", CategoricalDistribution(["mlp", "conv"]), "mlp"),
        Parameter("network.streams.v.encoder", CategoricalDistribution(["mlp", "conv"]), "mlp"),
        Parameter("network.streams.v.reducer.keep_ratio", CategoricalDistribution([0.25, 0.5, 1.0]), 0.5),
        Parameter("network.streams.v.reducer.kind", CategoricalDistribution(["max", "top_k"]), "max"),
        Parameter(KIND, CategoricalDistribution(KINDS), "concat"),
        Parameter(
            "network.router.kind",
            CategoricalDistribution(["gate", "sequential"]),
            "gate",
            (Condition(ROUTE, dynamic=True),),
        ),
        of_fusion("network.fusion.max_steps", IntDistribution(1, 24, log=True), "equilibrium"),
        of_fusion("network.fusion.tolerance", FloatDistribution(1e-4, 1e-2, log=True), "equilibrium"),
        of_fusion("network.fusion.rank", CategoricalDistribution([1, 2, 4]), "low_rank"),
        Parameter("training.lr", FloatDistribution(1e-3, 1e-1, log=True), 1e-2),
    ]
)


def draws(n, seed=0):
    return DOMAIN.rows(np.random.default_rng(seed).random((n, len(DOMAIN.columns))))


def costs(is_valid=lambda parameters: True):
    def cost_of(parameters):
        if not is_valid(parameters):
            raise InvalidInputError("it cannot be trained")
        return 1.0

    return Costs(DOMAIN, cost_of=cost_of, least_cost_of=None, max_cost=None)


def families_of(parameters):
    families = Families(DOMAIN)
    (members,) = families.of(np.array([DOMAIN.row(parameters)]))
    return {name for name, member in zip(families.names, members, strict=True) if member}


def test_the_families_of_a_network():
    plain = {
        ROUTE: "a > a+v",
        "network.streams.a.encoder": "mlp",
        "network.streams.v.encoder": "conv",
        "network.streams.v.reducer.keep_ratio": 0.5,
        "network.streams.v.reducer.kind": "top_k",
        KIND: "sum",
        "network.router.kind": "sequential",
        "training.lr": 0.01,
    }
    both = {"network.streams.*.encoder mlp", "network.streams.*.encoder conv", "network.fusion.kind sum"}
    reduced = {"network.streams.*.reducer.kind top_k"}
    assert families_of(plain) == both | reduced | {"network.router.kind sequential"}
    static = {name: value for name, value in plain.items() if name != "network.router.kind"} | {ROUTE: "a+v"}
    assert families_of(static) == both | reduced | {"network.router.kind static networks"}
    assert families_of({**static, "network.streams.v.reducer.keep_ratio": 1.0}) == families_of(static) - reduced


def test_a_space_without_kinds_is_complete():
    domain = Domain([Parameter("training.lr", FloatDistribution(1e-3, 1e-1), 1e-2)])
    coverage = Coverage(domain, costs(), np.empty((0, 1)))
    assert coverage.is_complete
    assert coverage.gains(np.array([[0.01]])).tolist() == [0.0]


def chosen(n, *, is_valid=lambda parameters: True):
    """The draws with the largest gains, one after another."""
    rows = np.empty((0, len(DOMAIN.columns)))
    for number in range(n):
        coverage = Coverage(DOMAIN, costs(is_valid), rows)
        if coverage.is_complete:
            return rows
        candidates = draws(200, seed=number)
        rows = np.vstack([rows, candidates[coverage.gains(candidates).argmax()]])
    return rows


def test_every_family_is_tried_once_before_any_is_tried_twice():
    families = Families(DOMAIN)
    rows = chosen(20)
    counts = families.of(rows).sum(axis=0)
    kinds = [name.startswith(KIND) for name in families.names]
    assert families.of(rows[: len(KINDS)]).sum(axis=0)[kinds].tolist() == [1] * len(KINDS)
    assert counts.min() == 2
    assert counts[families.names.index(f"{KIND} equilibrium")] == 3, "it has two parameters of its own"
    assert len(rows) == 2 * len(KINDS) + 1, "no more than the fusions need"


def test_its_values_are_in_different_parts_of_their_range():
    steps = [index for index, column in enumerate(DOMAIN.columns) if column.name.endswith("max_steps")]
    values = chosen(20)[:, steps]
    parts = np.floor(DOMAIN.columns[steps[0]].units(values[~np.isnan(values)]) * 3)
    assert sorted(parts) == [0, 1, 2]


def test_a_family_that_cannot_be_trained_is_never_due():
    def is_valid(parameters):
        return parameters[KIND] != "gated"

    rows = chosen(20, is_valid=is_valid)
    assert len(rows) == 2 * (len(KINDS) - 1) + 1
    assert Coverage(DOMAIN, costs(is_valid), rows).is_complete
    assert not Coverage(DOMAIN, costs(), rows).is_complete


def trial(number, state=TrialState.RUNNING, **attributes):
    parameters = DOMAIN.parameters(draws(1, seed=number)[0])
    frozen = optuna.trial.create_trial(
        state=state,
        values=[0.5, 1.0] if state is TrialState.COMPLETE else None,
        params=parameters,
        distributions={name: DOMAIN.distributions[name] for name in parameters},
        user_attrs=attributes,
    )
    frozen.number = number
    return TrialView(frozen)


@pytest.mark.parametrize(
    ("state", "attributes", "counts"),
    [
        (TrialState.RUNNING, {}, True),
        (TrialState.COMPLETE, {}, True),
        (TrialState.FAIL, {"recipe_hash": "a"}, True),
        (TrialState.FAIL, {}, False),
        (TrialState.PRUNED, {}, False),
        (TrialState.PRUNED, {"stopped": {}}, True),
        (TrialState.COMPLETE, {"baseline": "by hand"}, False),
        (TrialState.COMPLETE, {"repeat_of": 3}, False),
        (TrialState.COMPLETE, {"point_of": 3}, False),
    ],
)
def test_which_trials_are_suggestions(state, attributes, counts):
    assert len(suggested_rows([trial(0, state, **attributes)], DOMAIN)) == counts


def test_the_sampler_starts_with_them():
    study = optuna.create_study(directions=["minimize", "minimize"])
    for number in range(2 * len(KINDS) + 1):
        study.sampler = KnownCostSampler(0, domain=DOMAIN, cost_of=lambda _: 1.0, n_startup=6)
        asked = study.ask()
        DOMAIN.complete(lambda one, asked=asked: one.draw(asked))
        study.tell(asked, [1 / (number + 1), 1.0])
    kinds = [one.params[KIND] for one in study.trials]
    assert sorted(kinds[: len(KINDS)]) == sorted(KINDS)
    assert min(kinds.count(kind) for kind in KINDS) == 2
    assert "fallback" not in {key for one in study.trials for key in one.user_attrs}


@pytest.mark.parametrize("covers", [True, False])
def test_without_it_the_model_decides(covers):
    study = optuna.create_study(directions=["minimize", "minimize"])
    for _ in range(10):
        study.sampler = KnownCostSampler(0, domain=DOMAIN, cost_of=lambda _: 1.0, n_startup=5, covers=covers)
        asked = study.ask()
        DOMAIN.complete(lambda one, asked=asked: one.draw(asked))
        study.tell(asked, [0.1 if asked.params[KIND] == "sum" else 1.0, 1.0])
    suggested = [one.params[KIND] for one in study.trials[5:]]
    assert (suggested.count("sum") > 2) != covers
