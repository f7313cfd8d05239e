from benchmarks.search.comparison import catch_up, comparison, paired_line, savings, share_table
from benchmarks.search.simulation import Run

SLOW = [Run(steps=[(10, 0.2), (100, end)], epochs=100, suggestion_s=[0.1]) for end in (0.35, 0.4, 0.45)]
FAST = [Run(steps=[(end, 0.5)], epochs=100, suggestion_s=[0.3]) for end in (20, 30, 40)]


def test_shares_at_each_budget() -> None:
    table = share_table({"slow": SLOW, "fast": FAST}, max_epochs=1, best=0.5).splitlines()
    assert table[2] == "| slow | 3 | 0.4000 +- 0.0000 | 0.4000 +- 0.0000 | 0.8000 +- 0.1000 | 0.100 |"
    assert table[3] == "| fast | 3 | 0.3333 +- 0.5774 | 1.0000 +- 0.0000 | 1.0000 +- 0.0000 | 0.300 |"


def test_engines_are_compared_seed_by_seed() -> None:
    line = comparison({"slow": SLOW, "fast": FAST}, "fast@50 slow@100", max_epochs=1, best=0.5)
    assert line.startswith("fast@50 slow@100: +0.2000, better in 3/3")
    assert comparison({"slow": SLOW}, "fast@50 slow@100", max_epochs=1, best=0.5) == ""
    assert comparison({"slow": SLOW, "fast": FAST}, "fast@50 slow@101", max_epochs=1, best=0.5) == ""


def test_equal_engines_have_no_p_value() -> None:
    assert paired_line("a b", [0.5, 0.5], [0.5, 0.5]) == "a b: +0.0000, better in 0/2"
    assert "p = " in paired_line("a b", [0.5, 0.6], [0.4, 0.3])


def test_catching_up() -> None:
    line = catch_up({"slow": SLOW, "fast": FAST}, "fast", "slow", full_trainings=100, max_epochs=1)
    # mean curve: 0.5 / 3 at 20, 1 / 3 at 30 and 0.5 at 40, where it passes 0.4
    assert "after 0.400 of its epochs (mean curves)" in line
    assert "median 0.300, range 0.200 to 0.400" in line


def test_what_stopping_saves_and_loses() -> None:
    full = [Run(steps=[(90, 0.5)], epochs=100), Run(steps=[(90, 0.5)], epochs=100)]
    stopped = [Run(steps=[(30, 0.5)], epochs=40), Run(steps=[(30, 0.4)], epochs=60)]
    assert savings(stopped, full).startswith("epochs saved 0.5000 +- 0.1414, hypervolume -0.1000 +- 0.1414")
