"""The rules that choose a member of a front."""

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.search.picks import picks


def test_each_rule_has_its_point_and_its_reason(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 10), (0.895, 100), (0.9, 1000)]))
    found = picks(run.progress.front, run.objectives)
    assert {rule: pick.candidate.trial for rule, pick in found.items()} == {"best": 2, "knee": 1, "cheapest": 0}
    # without repetitions 1 % of the lead over the constant, 0.1, may be lost
    assert found["knee"].reason == (
        "the cheapest point within 0.008 of the best (1% of its lead over a constant), "
        "which is 0.0050 worse than the best one at 0.1 times its cost"
    )
    assert found["cheapest"].reason.endswith("which is 0.4000 worse than the best one at 0.01 times its cost")
    assert found["best"].reason == "the point with the best accuracy"


@pytest.mark.parametrize("results", [[(0.5, 10)], [(0.5, 100), (0.4, 200)]])
def test_a_single_point_is_the_choice_of_all(make_run, tmp_path, results):
    run = read_run(make_run(tmp_path / "run", results))
    found = picks(run.progress.front, run.objectives)
    assert {pick.candidate.trial for pick in found.values()} == {0}
    assert found["knee"].reason.endswith("which is the best point itself")
