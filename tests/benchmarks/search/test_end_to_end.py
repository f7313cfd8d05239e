import json
import math
from pathlib import Path

import pytest

from benchmarks.search.end_to_end import Found, _noted, _score, hypervolume_of
from benchmarks.search.plain_scripts import train
from nasfuse.search.front import Objectives
from nasfuse.spec.recipe import Recipe

OBJECTIVES = Objectives("accuracy", "macs", (0.1, 10_000))


def recipe_of(width: int) -> Recipe:
    network = {"route": ["left"], "streams": {"left": {"encoder": "mlp", "width": width}}}
    return Recipe.parse({"data": {"source": "digits"}, "network": network})


def test_hypervolume_is_accuracy_times_decades() -> None:
    # 1,000 MACs are one decade below the reference, 100 two; the cheap network is .3 above it, the other .8
    points = [(0.9, 1000), (0.4, 100)]
    assert hypervolume_of(points, OBJECTIVES) == pytest.approx(0.8 * 1 + 0.3 * 1)


def test_only_what_ended_in_time_is_on_a_front(tmp_path: Path) -> None:
    rows = [(8, 0.5, 100, 1.0), (16, 0.9, 1000, 2.0), (24, 0.8, 2000, 3.0), (32, 0.99, 50, 9.0)]
    lines = [
        json.dumps({"recipe": recipe_of(width).to_plain(), "metric": metric, "macs": macs, "at": at})
        for width, metric, macs, at in rows
    ]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n")
    found = _noted(tmp_path, deadline=5.0)
    assert found.trainings == 3
    assert [(metric, macs) for _, metric, macs in found.front] == [(0.5, 100), (0.9, 1000)]


def test_a_front_is_scored_by_what_its_members_reach_again() -> None:
    lucky, honest = recipe_of(8), recipe_of(16)
    found = Found(trainings=2, front=[(lucky, 0.9, 100), (honest, 0.95, 1000)])
    score = _score(found, OBJECTIVES, {lucky.hash: 0.4, honest.hash: 0.95})
    assert score["found"] == pytest.approx(0.8 * 2 + 0.05)
    assert score["retrained"] == pytest.approx(0.3 * 2 + 0.55)
    assert math.isclose(score["members"], 2)


def test_a_plain_script_trains_as_a_search_does_and_notes_what_it_finds(tmp_path: Path) -> None:
    recipe = recipe_of(8)
    short = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 1})})
    metric, log10_macs = train(short, seed=0, results=tmp_path / "results.jsonl")
    row = json.loads((tmp_path / "results.jsonl").read_text())
    assert (row["metric"], math.log10(row["macs"])) == (metric, log10_macs)
    assert Recipe.parse(row["recipe"]) == short
