"""The known-cost sampler: Optuna's own suite, its limits, its fallbacks, and what its suggestions depend on."""

import math
from functools import partial

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.testing import pytest_samplers
from optuna.trial import TrialState

from nasfuse.errors import InvalidInputError
from nasfuse.pareto import hypervolume
from nasfuse.search.parameters import Condition, Parameter
from nasfuse.search.samplers import Domain, KnownCostSampler, known_cost
from nasfuse.search.samplers.durations import Durations
from nasfuse.search.samplers.known_cost import MAX_FULL, MAX_OBSERVATIONS

DOMAIN = Domain(
    [
        Parameter("kind", CategoricalDistribution(["plain", "deep"]), "plain"),
        Parameter("depth", IntDistribution(1, 6), 1, (Condition("kind", values=("deep",)),)),
        Parameter("width", CategoricalDistribution([8, 16, 32, 64, 128]), 8),
        Parameter("lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-2),
    ]
)


def log_cost(parameters):
    return math.log10(parameters["width"] ** 2 * parameters.get("depth", 1))


def error_of(parameters):
    return 1 / (log_cost(parameters) + 1) + 0.1 * (math.log10(parameters["lr"]) + 2.5) ** 2


def ask(study, sampler, *, domain=DOMAIN):
    study.sampler = sampler
    trial = study.ask()
    return trial, domain.complete(lambda parameter: parameter.draw(trial))


def search(sampler_of, *, n_trials, study=None, tell=True):
    """Returns the study and the parameters of its new trials; each is told before the next one is asked."""
    study = study or optuna.create_study(directions=["minimize", "minimize"])
    drawn = []
    for _ in range(n_trials):
        trial, parameters = ask(study, sampler_of())
        drawn.append(parameters)
        if tell:
            study.tell(trial, [error_of(parameters), log_cost(parameters)])
    return study, drawn


def make(seed=0, **changes):
    known = {"domain": DOMAIN, "cost_of": log_cost, "reference": (1.0, 5.0), "n_startup": 6, **changes}
    return lambda: KnownCostSampler(seed, **known)


TOO_MANY = f"there are more than {MAX_FULL} full trainings or {MAX_OBSERVATIONS} observations"


def fallbacks(study):
    return [trial.user_attrs["fallback"] for trial in study.trials if "fallback" in trial.user_attrs]


class TestByOptunasSuite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.MultiObjectiveSamplerTestCase,
):
    @pytest.fixture
    def sampler(self):
        return partial(KnownCostSampler, 0, n_startup=2)


class TestSuggestions:
    def test_they_beat_random_search(self):
        study, _ = search(make(), n_trials=16)
        assert not fallbacks(study)
        rows = DOMAIN.rows(np.random.default_rng(0).random((16, 4)))
        random = [(error_of(p), log_cost(p)) for p in map(DOMAIN.parameters, rows)]
        reached = hypervolume([trial.values for trial in study.trials], reference=(1.0, 5.0))
        costs = [math.log10(width**2 * depth) for width in (8, 16, 32, 64, 128) for depth in range(1, 7)]
        best = hypervolume([(1 / (cost + 1), cost) for cost in costs], reference=(1.0, 5.0))
        assert best - reached < 0.7 * (best - hypervolume(random, reference=(1.0, 5.0)))

    def test_the_start_is_spread_out(self):
        _, drawn = search(make(n_startup=16), n_trials=16)
        quarters = [int(4 * (math.log10(one["lr"]) + 4) / 3.0001) for one in drawn]
        assert sorted(quarters) == [quarter for quarter in range(4) for _ in range(4)]

    def test_the_start_is_even_over_the_range_of_costs(self):
        """The number of long steps of twelve, which is 3 or less or 9 or more in 2.3 of 16 random draws."""
        names = [f"step_{index}" for index in range(12)]
        domain = Domain.unconditional({name: CategoricalDistribution(["short", "long"]) for name in names})
        study = optuna.create_study(directions=["minimize", "minimize"])
        costs = []
        for _ in range(16):
            sampler = KnownCostSampler(0, domain=domain, cost_of=lambda p: float(list(p.values()).count("long")))
            _, parameters = ask(study, sampler, domain=domain)
            costs.append(list(parameters.values()).count("long"))
        assert sum(abs(cost - 6) >= 3 for cost in costs) >= 6

    def test_the_start_avoids_trainings_that_would_take_much_of_the_time(self):
        known = {"n_startup": 100, "seconds_of": lambda parameters: parameters["width"]}
        _, drawn = search(make(**known, budget_s=30 * 32), n_trials=12)
        assert {parameters["width"] for parameters in drawn} == {8, 16, 32}
        _, all_too_long = search(make(**known, budget_s=1.0), n_trials=12)
        assert {parameters["width"] for parameters in all_too_long} == {8}, "the shortest"

    @pytest.mark.parametrize(
        ("longest", "expected"),
        [(1.0, [0.04, 0.2]), (0.03, [0.02]), (0.01, [0.02])],
    )
    def test_what_adds_most_for_its_time_comes_first_among_what_does_not_take_long(self, longest, expected):
        """Of four draws that add 6, 5, 2.3 and 1 in .9, .2, .04 and .02 s: 6.3, 11.2, 11.5 and 7.1 times a power."""
        domain = Domain.unconditional({"x": FloatDistribution(0, 1)})
        rows, gains = np.array([[0.9], [0.2], [0.04], [0.02]]), np.array([6.0, 5.0, 2.3, 1.0])
        durations = Durations(domain, seconds_of=lambda p: max(p["x"], 0.01), longest_to_explore=longest)
        surveyed = np.geomspace(0.01, 1, 60)[:, None]
        short, due = known_cost._due_in_time(rows, gains, durations, domain=domain, surveyed=surveyed)
        np.testing.assert_allclose(due[:, 0], expected)
        np.testing.assert_allclose(short[: len(due)], due)
        assert (short <= max(longest, 0.02) + 0.01).all()

    def test_the_same_storage_gives_the_same_suggestion(self):
        _, drawn = search(make(), n_trials=12)
        again, first = search(make(), n_trials=8)
        _, rest = search(make(), n_trials=4, study=again)
        assert drawn == first + rest
        assert search(make(seed=1), n_trials=12)[1] != drawn

    def test_suggestions_do_not_depend_on_the_process(self):
        study, _ = search(make(), n_trials=10)
        copy = optuna.create_study(directions=["minimize", "minimize"])
        copy.add_trials(study.trials)
        used = make()()
        for _ in range(2):
            ask(optuna.create_study(directions=["minimize", "minimize"]), used)
        assert ask(study, used)[1] == ask(copy, make()())[1]

    def test_running_trials_are_not_suggested_again(self):
        study, _ = search(make(), n_trials=10)
        _, drawn = search(make(), n_trials=5, study=study, tell=False)
        assert len({tuple(one.items()) for one in drawn}) == 5
        spread = np.std([math.log10(one["lr"]) for one in drawn]) + len({one["width"] for one in drawn})
        assert spread > 1.2

    def test_what_was_tried_is_not_suggested_again(self):
        domain = Domain.unconditional({"width": IntDistribution(1, 4), "depth": IntDistribution(1, 4)})
        study = optuna.create_study(directions=["maximize", "minimize"])
        drawn = []
        for _ in range(18):
            sampler = KnownCostSampler(0, domain=domain, cost_of=lambda p: float(p["width"] * p["depth"]), n_startup=4)
            trial, parameters = ask(study, sampler, domain=domain)
            drawn.append(tuple(parameters.values()))
            study.tell(trial, [parameters["width"] + parameters["depth"], parameters["width"] * parameters["depth"]])
        assert len(set(drawn[4:16])) == 12
        assert len(drawn) == 18, "an exhausted space is no end"

    def test_a_metric_is_maximised_as_its_negative_is_minimised(self):
        def run(sign, direction):
            study = optuna.create_study(directions=[direction, "minimize"])
            drawn = []
            for _ in range(10):
                trial, parameters = ask(study, make(reference=(sign, 5.0))())
                drawn.append(parameters)
                study.tell(trial, [sign * error_of(parameters), log_cost(parameters)])
            return drawn

        assert run(1.0, "minimize") == run(-1.0, "maximize")

    def test_costs_that_are_only_measured_are_modelled(self):
        study, _ = search(make(cost_of=None), n_trials=8)
        assert not fallbacks(study)

    def test_costs_of_which_some_are_known(self):
        def known(parameters):
            return None if parameters["kind"] == "deep" else log_cost(parameters)

        study, _ = search(make(cost_of=known), n_trials=8)
        assert not fallbacks(study)

    @pytest.mark.parametrize(("metric", "nearby"), [(-0.5, True), (0.9, False)])
    def test_stopped_trials_inform(self, metric, nearby):
        """Two were stopped at lr .003, much better than all others or worse: it pays to look there, or it does not."""
        study, _ = search(make(), n_trials=8)
        for kind in ("plain", "deep"):
            parameters = {"kind": kind, "width": 8, "lr": 3e-3} | ({"depth": 1} if kind == "deep" else {})
            stopped = {"epoch": 1, "epochs": 4, "metric": metric, "log_cost": log_cost(parameters)}
            study.add_trial(
                optuna.create_trial(
                    state=TrialState.PRUNED,
                    params=parameters,
                    distributions={name: DOMAIN.distributions[name] for name in parameters},
                    user_attrs={"stopped": stopped},
                )
            )
        _, (suggested, *_) = search(make(), n_trials=1, study=study)
        assert not fallbacks(study)
        assert (suggested["width"] == 8 and 2e-3 < suggested["lr"] < 5e-3) is nearby


class TestLimits:
    def test_no_suggestion_exceeds_the_limit_even_if_most_draws_do(self):
        domain = Domain.unconditional({f"x{index}": FloatDistribution(0, 1) for index in range(4)})

        def cost_of(parameters):
            return sum(parameters.values())

        rng = np.random.default_rng(0)
        limit = float(np.quantile(rng.random((10000, 4)).sum(axis=1), 0.1))
        study = optuna.create_study(directions=["minimize", "minimize"])
        for _ in range(18):
            sampler = KnownCostSampler(0, domain=domain, cost_of=cost_of, max_cost=limit, reference=(2.0, 4.0))
            trial, parameters = ask(study, sampler, domain=domain)
            assert cost_of(parameters) <= limit
            study.tell(trial, [(parameters["x0"] - 0.3) ** 2 - parameters["x1"], cost_of(parameters)])
        assert not fallbacks(study)

    @pytest.mark.parametrize("costs", [{}, {"cost_of": lambda parameters: 1.0}])
    def test_nothing_is_suggested_again_that_was_visited(self, costs):
        """What was visited is known to others, such as recipes that are equal though their parameters are not."""
        domain = Domain.unconditional({name: IntDistribution(0, 4) for name in ("x", "y")})
        study = optuna.create_study(directions=["minimize", "minimize"])
        sums = []

        def is_visited(parameters):
            return parameters["x"] + parameters["y"] in sums

        for _ in range(9):
            trial, parameters = ask(
                study, KnownCostSampler(0, domain=domain, is_visited=is_visited, **costs), domain=domain
            )
            sums.append(parameters["x"] + parameters["y"])
            if len(sums) < 8:  # one is running
                study.tell(trial, [abs(sums[-1] - 3.0), 1.0])
        assert sorted(sums) == list(range(9))

    def test_no_suggestion_is_above_with_the_model_then_the_fallback_and_running_trials(self, monkeypatch):
        monkeypatch.setattr(known_cost, "MAX_FULL", 20)
        limit = log_cost({"width": 16})
        draws = DOMAIN.rows(np.random.default_rng(0).random((2000, 4)))
        above = np.mean([log_cost(DOMAIN.parameters(row)) > limit - 0.5 for row in draws])
        assert above > 0.85
        study = optuna.create_study(directions=["minimize", "minimize"])
        running = []
        for number in range(60):
            trial, parameters = ask(study, make(max_cost=limit - 0.5)())
            assert log_cost(parameters) <= limit - 0.5
            running.append((trial, parameters))
            if number % 4 == 3:
                for one, own in running:
                    study.tell(one, [error_of(own), log_cost(own)])
                running = []
        assert fallbacks(study) == [f"there are more than 20 full trainings or {MAX_OBSERVATIONS} observations"] * 36

    def test_the_limit_may_be_on_the_least_cost(self):
        _, drawn = search(make(cost_of=None, least_cost_of=log_cost, max_cost=log_cost({"width": 16})), n_trials=12)
        assert all(log_cost(one) <= log_cost({"width": 16}) for one in drawn)

    def test_what_is_no_valid_network_is_not_suggested(self):
        def cost_of(parameters):
            if parameters["width"] == 64:
                raise InvalidInputError("64 is too even")
            return log_cost(parameters)

        study, drawn = search(make(cost_of=cost_of, reference=None), n_trials=14)
        assert {one["width"] for one in drawn} <= {8, 16, 32, 128}
        assert not fallbacks(study)


class TestFallback:
    def test_one_objective(self):
        study = optuna.create_study()
        trial, _ = ask(study, make()())
        study.tell(trial, 1.0)
        assert fallbacks(study) == ["the known-cost sampler needs two objectives"]

    def test_many_observations(self):
        study, _ = search(make(), n_trials=1)
        study.add_trials([study.trials[0]] * MAX_FULL)
        search(make(), n_trials=1, study=study)
        assert fallbacks(study) == [TOO_MANY]

    def test_a_numerical_failure(self, monkeypatch):
        from nasfuse.search.samplers import hyperparameters

        def fail(*_):
            raise RuntimeError("a matrix is not positive definite")

        monkeypatch.setattr(hyperparameters, "_fit", fail)
        study, drawn = search(make(), n_trials=8)
        assert fallbacks(study) == ["the model failed: a matrix is not positive definite"] * 2
        assert all(DOMAIN.row(one) is not None for one in drawn)


VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=True), st.just(0.0), st.floats(-1, 1), st.sampled_from([1e300, -1e300])
)
POINTS = st.tuples(
    st.sampled_from([0.0, 1e-9, 0.5, 1.0]) | st.floats(0, 1), st.sampled_from(["a", "b"]), VALUES | st.none(), VALUES
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(POINTS, min_size=1, max_size=12), st.booleans(), st.none() | st.tuples(VALUES, VALUES))
def test_it_never_crashes(points, cost_is_known, reference):
    """None stands for a metric that was NaN: Optuna records such a trial as failed."""
    distributions = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])}
    domain = Domain.unconditional(distributions)
    study = optuna.create_study(directions=["maximize", "minimize"])
    for x, kind, metric, cost in points:
        state = TrialState.COMPLETE if metric is not None else TrialState.FAIL
        values = [metric, cost] if metric is not None else None
        params = {"x": x, "kind": kind}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, values=values, state=state))
    cost_of = (lambda parameters: parameters["x"]) if cost_is_known else None
    sampler = KnownCostSampler(0, domain=domain, cost_of=cost_of, reference=reference, n_startup=1)
    _, parameters = ask(study, sampler, domain=domain)
    assert domain.row(parameters) is not None
    assert all(reason.startswith("the model failed: ") for reason in fallbacks(study))
