"""MO-ASHA: rungs, order and decisions by hand, on a simulated clock; what it saves and what it never stops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.pareto import non_dominated_rank
from nasfuse.search.stopping.mo_asha import MultiObjectiveAsha, by_rank_and_spread


@pytest.mark.parametrize(
    ("eta", "n_rungs", "epochs", "rungs"),
    [
        (3, 2, 27, (3, 9)),
        (3, 2, 20, (2, 7)),
        (3, 3, 27, (1, 3, 9)),
        (3, 9, 27, (1, 3, 9)),
        (2, 2, 4, (1, 2)),
        (3, 2, 4, (1,)),
        (3, 2, 2, (1,)),
        (3, 2, 1, ()),
        (4, 1, 52, (13,)),
    ],
)
def test_rungs(eta, n_rungs, epochs, rungs):
    assert MultiObjectiveAsha(eta=eta, n_rungs=n_rungs).rungs(epochs) == rungs


class TestOrder:
    def test_rank_comes_first(self):
        costs = np.array([[3.0, 3.0], [2.0, 2.0], [1.0, 1.0]])
        assert by_rank_and_spread(costs) == [2, 1, 0]

    def test_then_the_lowest_error_the_other_end_and_the_middle(self):
        front = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
        # 0 has the lowest error, 4 the lowest cost, 2 is farthest from both; 1 and 3 are equally far, the first counts
        assert by_rank_and_spread(front) == [0, 4, 2, 1, 3]

    def test_the_order_does_not_depend_on_scale(self):
        front = np.array([[0.0, 9.0], [0.1, 8.0], [0.5, 5.0], [1.0, 0.0]])
        assert by_rank_and_spread(front * [1e-6, 1e3] + 5) == by_rank_and_spread(front)

    def test_equal_rows_share_a_rank_and_the_earlier_comes_first(self):
        assert by_rank_and_spread(np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])) == [0, 1, 2]

    def test_an_objective_that_is_constant(self):
        assert by_rank_and_spread(np.array([[2.0, 1.0], [1.0, 1.0]])) == [1, 0]

    @given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=25))
    def test_it_is_an_order_by_rank(self, rows):
        costs = np.array(rows)
        order = by_rank_and_spread(costs)
        assert sorted(order) == list(range(len(rows)))
        ranks = non_dominated_rank(costs)[order].tolist()
        assert ranks == sorted(ranks)


class TestDecisions:
    rule = MultiObjectiveAsha(eta=3)

    def test_the_first_trainings_are_promoted(self):
        assert self.rule.promotes((9.0, 9.0), [])
        assert self.rule.promotes((9.0, 9.0), [[0.0, 0.0]])
        assert not self.rule.promotes((9.0, 9.0), [[0.0, 0.0], [0.0, 9.0]])

    @pytest.mark.parametrize(
        ("own", "promoted"),
        [
            ((0.1, 5.0), True),  # the lowest error of the front is taken first
            ((0.9, 1.0), True),  # the cheapest is farthest from it
            ((0.5, 3.0), False),  # on the front, and in the middle: quota 2 of 6 is spent
            ((0.95, 4.5), False),  # dominated
        ],
    )
    def test_a_front_larger_than_the_quota(self, own, promoted):
        others = [[0.2, 4.0], [0.4, 3.5], [0.6, 2.5], [0.8, 1.5], [0.9, 5.0]]
        assert self.rule.promotes(own, others) is promoted

    def test_the_quota_is_rounded_up(self):
        ladder = [[0.1, 1.0], [0.2, 2.0], [0.3, 3.0], [0.15, 9.0]]
        assert self.rule.promotes((0.15, 1.5), ladder), "2 of 5"
        assert not self.rule.promotes((0.25, 2.5), ladder)
        worse = [[0.4, 4.0 + step] for step in range(5)]
        assert not self.rule.promotes((0.25, 2.5), [*ladder, *worse[:4]]), "3 of 9"
        assert self.rule.promotes((0.25, 2.5), [*ladder, *worse]), "4 of 10"

    def test_a_slow_learner_is_compared_with_what_costs_as_much(self):
        cheap = [[0.1, 1.0 + step / 10] for step in range(8)]
        assert self.rule.promotes((0.5, 5.0), [*cheap, [0.6, 5.0], [0.7, 6.0]])
        assert not self.rule.promotes((0.5, 5.0), [*cheap, [0.6, 5.0], [0.5, 6.0]])
        assert self.rule.promotes((0.9, 7.0), cheap), "nothing costs as much"

    def test_useless_tiny_networks_do_not_fill_the_quota(self):
        """A crowd of cheap networks, all non-dominated, and one that is costly and good."""
        crowd = [[0.9 - step / 1000, 1.0 + step / 1000] for step in range(30)]
        everything = [*crowd, [0.2, 3.0]]
        kept = [n for n, row in enumerate(everything) if self.rule.promotes(row, everything[:n] + everything[n + 1 :])]
        assert 30 in kept, "the good one"
        assert 0 in kept, "the cheapest"
        assert len(kept) <= 11, "one in eta, though all are non-dominated"

    def test_both_corners_fit_into_the_smallest_quota(self):
        dear, cheap, between = [0.1, 5.0], [0.9, 1.0], [0.5, 3.0]
        assert self.rule.promotes(cheap, [dear, between])
        assert self.rule.promotes(dear, [cheap, between])
        assert not self.rule.promotes(between, [cheap, dear])

    def test_a_training_expected_on_the_front_is_promoted(self):
        """At the rung (.9, 4.5) is dominated; of the finished ones two cost as little, and the better has .2."""
        others = [[0.2, 4.0], [0.4, 3.5], [0.6, 2.5], [0.8, 1.5], [0.9, 5.0]]
        finished = [[0.3, 2.0], [0.2, 4.5], [0.05, 5.0]]
        assert not self.rule.promotes((0.9, 4.5), others, finished=finished)
        assert self.rule.promotes((0.9, 4.5), others, end=0.19, finished=finished)
        assert not self.rule.promotes((0.9, 4.5), others, end=0.2, finished=finished)
        assert not self.rule.promotes((0.9, 4.5), others, end=0.19), "nothing has finished: no expectation yet"

    def test_the_best_training_is_always_promoted(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            others = rng.random((20, 2))
            assert self.rule.promotes((others[:, 0].min() - 0.01, 2.0), others), "the costliest, with the lowest error"


class Clock:
    """Trainings on `n_workers` machines: each asks at its rungs, in the order of simulated time."""

    def __init__(self, rule, curves, costs, *, n_workers):
        self.spent, self.finished, self.stopped = 0, [], {}
        waiting = list(range(len(curves)))
        free_at = [0.0] * n_workers
        seen: dict[int, list[tuple[float, list[float]]]] = {}
        while waiting:
            worker = int(np.argmin(free_at))
            number, start = waiting.pop(0), free_at[worker]
            epochs = len(curves[number])
            for rung in rule.rungs(epochs):
                own = [curves[number][rung - 1], costs[number]]
                before = [row for time, row in seen.get(rung, []) if time <= start]
                seen.setdefault(rung, []).append((start + rung, own))
                if not rule.promotes(own, before):
                    self.stopped[number] = rung
                    epochs = rung
                    break
            else:
                self.finished.append(number)
            self.spent += epochs
            free_at[worker] = start + epochs


def flat(error, epochs=9):
    return [error] * epochs


class TestSimulatedClock:
    def test_by_hand(self):
        """One worker, eta 3, rungs 1 and 3 of 9 epochs; equal costs, so the order is by error alone."""
        curves = [flat(error) for error in (0.5, 0.6, 0.7, 0.4, 0.45, 0.3)]
        clock = Clock(MultiObjectiveAsha(eta=3), curves, [1.0] * 6, n_workers=1)
        # 0, 1: nothing to choose from. 2: third of 3, quota 2. 3: first of 4. 4: second of 5, quota 2. 5: the best.
        assert clock.stopped == {2: 1}
        assert clock.finished == [0, 1, 3, 4, 5]
        assert clock.spent == 5 * 9 + 1

    def test_a_good_start_with_a_bad_end(self):
        """Good at the first rung, overtaken at the second."""
        curves = [flat(0.5), flat(0.4), flat(0.3), [0.1, 0.1, 0.9, *[0.9] * 6]]
        clock = Clock(MultiObjectiveAsha(eta=3), curves, [1.0] * 4, n_workers=1)
        assert clock.stopped == {3: 3}
        assert clock.spent == 3 * 9 + 3

    def test_workers_see_only_what_was_there_before(self):
        curves = [flat(error) for error in (0.1, 0.2, 0.9, 0.9, 0.9, 0.9)]
        one = Clock(MultiObjectiveAsha(eta=3), curves, [1.0] * 6, n_workers=1)
        six = Clock(MultiObjectiveAsha(eta=3), curves, [1.0] * 6, n_workers=6)
        assert one.stopped == {2: 1, 3: 1, 4: 1, 5: 1}
        assert six.stopped == {}

    @pytest.mark.parametrize("n_workers", [1, 4])
    def test_corners_of_the_front_survive_and_most_epochs_are_saved(self, n_workers):
        """Costly networks learn slowly and end best; cheap ones learn at once; the rest is dominated all along."""
        rng = np.random.default_rng(3)
        costs = rng.random(90)
        quality = rng.random(90)
        times = np.arange(1, 28) / 27
        final = 0.6 - 0.5 * costs + 0.4 * quality
        curves = [(f + 0.3 * (0.5 + c) * (1 - times) ** 2).tolist() for f, c in zip(final, costs, strict=True)]
        clock = Clock(MultiObjectiveAsha(eta=3), curves, costs.tolist(), n_workers=n_workers)
        assert clock.spent < 0.6 * 90 * 27
        front = np.flatnonzero(non_dominated_rank(np.stack([final, costs], axis=1)) == 0)
        ends = {int(front[costs[front].argmin()]), int(front[costs[front].argmax()])}
        assert ends <= set(clock.finished)
        assert math.isclose(final[clock.finished].min(), final.min())
