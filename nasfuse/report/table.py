"""The front as JSON and CSV."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nasfuse.domain.metric import METRICS
from nasfuse.errors import MissingFileError
from nasfuse.experiment.atomic_files import replacing
from nasfuse.experiment.robustness_file import Robustness
from nasfuse.experiment.run_reader import Run
from nasfuse.search.front import COLUMNS, Candidate, Objectives, front_of, to_row


def by_cost(run: Run, cost: str) -> tuple[Objectives, list[Candidate]]:
    """Returns objectives and front of a run with `cost` as the second objective.

    The reference value of a cost other than that of the study is the largest measured value.
    """
    if cost == run.objectives.cost:
        return run.objectives, run.progress.front
    worst = max((c.measured.cost(cost) for c in run.candidates), default=1.0)
    objectives = replace(run.objectives, cost=cost, reference=(run.objectives.reference[0], worst), max_macs=None)
    return objectives, front_of(run.candidates, objectives)


def front_document(
    run: Run, objectives: Objectives, front: list[Candidate], robustness: Sequence[Robustness] = ()
) -> dict[str, Any]:
    """Returns the document that `nasfuse pareto --json` prints; points in `robustness` have the key `robustness`."""
    metric = METRICS[objectives.metric]
    known = {one.label: asdict(one) for one in robustness}
    rows = [
        {**to_row(c), **({"robustness": known[c.label]} if c.label in known else {}), "recipe": _recipe(run, c)}
        for c in front
    ]
    return {
        "study": run.study.name,
        "metric": {"name": metric.name, "direction": metric.direction},
        "cost": objectives.cost,
        "reference": list(objectives.reference),
        "hypervolume": objectives.hypervolume(run.candidates),
        "plain_models": None if run.plain is None else {name: run.plain.mean(name) for name in ("constant", "linear")},
        "front": rows,
    }


def _recipe(run: Run, candidate: Candidate) -> dict[str, Any] | None:
    """Returns the recipe of a candidate, or None if its file does not exist any more."""
    try:
        return run.recipe(candidate).to_plain()
    except MissingFileError:
        return None


def write_csv(path: Path, front: list[Candidate]) -> None:
    """Writes the front as CSV, one row per operating point; the folder of the file must exist."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS)
        writer.writeheader()
        rows = (to_row(candidate) for candidate in front)
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    """Returns a value as a cell that no spreadsheet takes for a formula, as a name of the data may look like one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
