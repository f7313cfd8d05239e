"""A script as type checkers see it: mypy checks this file in `make lint`, and no test runs it."""

from typing import assert_type

import nasfuse
from nasfuse.search.front import Candidate


def search_and_choose() -> nasfuse.TrainedNetwork | nasfuse.SearchRun:
    """`nasfuse.search` is a function with known arguments, and `nasfuse.search.front` a module beside it."""
    run = nasfuse.search("digits", trials=2)
    assert_type(run, nasfuse.SearchRun)
    assert_type(nasfuse.load_run("runs/digits"), nasfuse.SearchRun)
    run.recipe(pick="knee", max_macs=1000)
    nasfuse.search("digits", trails=2)  # type: ignore[call-arg]
    nasfuse.search("digits", trials="2")  # type: ignore[arg-type]
    run.recipe(pick="median")  # type: ignore[arg-type]
    return run


def width_of(point: Candidate) -> int:
    """Types of subpackages are known, too."""
    return point.measured.macs
