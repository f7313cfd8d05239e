"""What the report shows of a point that is chosen in the chart."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nasfuse.data.label_maps import class_numbers
from nasfuse.domain.metric import metric_text
from nasfuse.domain.task import VOID
from nasfuse.errors import MissingFileError
from nasfuse.experiment.point_details import PointDetails
from nasfuse.experiment.run_reader import Run
from nasfuse.experiment.training_files import read_curve
from nasfuse.prediction.label_images import label_colors
from nasfuse.report.chart import DASHES, MARKS, Axis, Chart, Point, Series
from nasfuse.search.front import Candidate
from nasfuse.train import Epoch

#: Epochs of a curve that are drawn, at most.
_MOST_EPOCHS = 100

#: Points of a curve up to which each has a marker.
_MOST_MARKS = 40

#: Trainings whose curves are drawn, at most; folds of a cross-validation are trainings of their own.
_MOST_CURVES = 10

#: Rows of the table of classes, at most.
_MOST_ROWS = 100

Block = dict[str, Any]


def export_command(folder: Path, *choice: str) -> str:
    """Returns the command that exports a point of a run as a recipe; `choice` are its options."""
    return shlex.join(["nasfuse", "export", str(folder), *choice, "-o", "recipe.yaml"])


def panel(run: Run, candidate: Candidate, details: PointDetails | None) -> list[Block]:
    """Returns the blocks of a point, which `templates/panel.js` draws in this order.

    A block has a `kind` and a `title`: a `chart`, a `table`, a `matrix` of classes, `bars` with shares, `pictures` of
    samples, or `code`.

    Args:
        run: The run.
        candidate: The point.
        details: What its first training does on validation data; None if that was not measured.
    """
    blocks = _curves(run, candidate)
    if details is not None:
        blocks += [*_of_outputs(details), *_of_inference(details), *_of_groups(run, details), *_of_maps(run, details)]
    try:
        recipe = run.recipe(candidate).to_yaml()
    except MissingFileError:
        return blocks
    return [*blocks, {"kind": "code", "title": "Recipe, as export writes it", "text": recipe}]


def _curves(run: Run, candidate: Candidate) -> list[Block]:
    """Returns the learning curves of all trainings of a point: the metric and the losses."""
    trials = [trial for one in candidate.members or (candidate,) for trial in one.trainings or (one.trial,)]
    found: dict[str, list[Epoch]] = {}
    for trial in dict.fromkeys(trials):
        place = run.folder.trial(trial)
        for file in sorted({*place.glob("metrics.jsonl"), *place.glob("fold*/metrics.jsonl")}):
            fold = "" if file.parent == place else f", {file.parent.name}"
            with suppress(ValueError, TypeError):  # a damaged file, without which the report is still of use
                found[f"trial {trial}{fold}"] = _thinned(read_curve(file))
    found = dict(list(found.items())[:_MOST_CURVES])
    if not any(found.values()):
        return []
    metric = run.study.objective
    first, curve = next(iter(found.items()))
    losses = {
        f"{first}, validation": _values(curve, "val_loss"),
        f"{first}, training": _values(curve, "train_loss"),
    }
    metrics = {name: _values(curve, "val_metric") for name, curve in found.items()}
    return [
        _epoch_chart("Learning curves", metric, f"{metric} after each epoch of every training of the point.", metrics),
        _epoch_chart("Losses", "loss", "Losses after each epoch of the first training of the point.", losses),
    ]


def _epoch_chart(title: str, y: str, description: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> Block:
    series = [_curve(name, values, number) for number, (name, values) in enumerate(curves.items()) if values]
    return _chart_block(Chart(title, description, x=Axis("epoch"), y=Axis(y), series=series))


def _thinned(curve: Sequence[Epoch]) -> list[Epoch]:
    step = max(1, -(-len(curve) // _MOST_EPOCHS))
    return [*curve[: len(curve) - 1 : step], *curve[-1:]]


def _values(curve: Sequence[Epoch], name: str) -> list[tuple[int, float]]:
    values = [(one.epoch, getattr(one, name)) for one in curve]
    return [(epoch, value) for epoch, value in values if value is not None and abs(value) < float("inf")]


def _curve(name: str, values: Sequence[tuple[int, float]], number: int) -> Series:
    points = [Point(epoch, _short(value), [f"{name}, epoch {epoch}: {metric_text(value)}"]) for epoch, value in values]
    mark = MARKS[number % len(MARKS)] if len(points) <= _MOST_MARKS else None
    dash = DASHES[number % len(DASHES)]
    return Series(name, points, color=number % 7, mark=mark, line="straight", dash=dash)


def _of_outputs(details: PointDetails) -> list[Block]:
    """Returns the figures of each class or number, and where the predictions are wrong."""
    measured = f"on {details.samples:,} validation samples, first training"
    names = [str(one["name"]) for one in details.by_class]
    columns = list(details.by_class[0])
    rows = [[_cell(one[column]) for column in columns] for one in details.by_class[:_MOST_ROWS]]
    title = "By class" if {"samples", "pixels"} & set(columns) else "By number"
    blocks: list[Block] = [
        {"kind": "table", "title": f"{title}, {measured}", "columns": ["", *columns[1:]], "rows": rows}
    ]
    if details.confusion is not None:
        unit = " (pixels)" if "pixels" in columns else ""
        title = f"Confusion matrix{unit}: rows are true classes, columns predicted ones"
        blocks.append({"kind": "matrix", "title": title, "names": names, "counts": details.confusion})
    for name, pairs in zip(names, details.residuals or (), strict=False):
        points = [Point(truth, _short(guess - truth), [f"{truth:g}: {guess - truth:+.3g}"]) for truth, guess in pairs]
        chart = Chart(
            title=f"Residuals of {name}",
            description=f"Prediction minus target of {len(pairs)} validation samples by their target.",
            x=Axis("target"),
            y=Axis("prediction - target"),
            series=[
                Series("samples", sorted(points, key=lambda point: point.x), color=0, mark="ring"),
                Series("no error", [Point(min(points, key=_x).x, 0.0), Point(max(points, key=_x).x, 0.0)], 2, dash="4"),
            ],
        )
        blocks.append(_chart_block(chart))
    return blocks


def _x(point: Point) -> float:
    return point.x


def _of_inference(details: PointDetails) -> list[Block]:
    """Returns what a router and the solvers do."""
    blocks: list[Block] = []
    if details.routes:
        blocks.append(_bars("Samples by route, cheapest first", details.routes))
    for name, counts in details.steps.items():
        total = sum(counts.values())
        shares = {f"{n_steps} steps": count / total for n_steps, count in counts.items()}
        blocks.append(_bars(f"Solver steps of the equilibrium ({name})", shares))
    return blocks


def _of_groups(run: Run, details: PointDetails) -> list[Block]:
    """Returns the figures of the samples with each value of the columns of metadata."""
    blocks: list[Block] = []
    for column, groups in details.groups.items():
        routes = [name for name in details.routes if any(name in group.routes for group in groups)]
        rows = [
            [
                group.value,
                f"{group.samples:,}",
                metric_text(group.metric, digits=3),
                f"{group.macs:,.0f}",
                *(f"{group.routes.get(name, 0.0):.1%}" for name in routes),
            ]
            for group in groups
        ]
        names = ["", "samples", run.study.objective, "MACs", *(f"on {name}" for name in routes)]
        blocks.append({"kind": "table", "title": f"By {column}", "columns": names, "rows": rows})
    return blocks


def _of_maps(run: Run, details: PointDetails) -> list[Block]:
    """Returns the pictures of a few validation samples with the maps that each route predicts."""
    if not details.maps:
        return []
    names = [str(one["name"]) for one in details.by_class]
    numbers = class_numbers(run.study.data, len(names))
    legend = [[name, _color(number)] for name, number in zip(names, numbers, strict=True)]
    samples = [
        {
            "row": row,
            "maps": [
                {
                    "name": f"{one.route or 'prediction'}{' (taken)' if one.route and one.is_taken else ''}",
                    "png": one.labels,
                }
                for one in maps
            ],
        }
        for row, maps in details.maps.items()
    ]
    title = "Validation samples: inputs, labels, and what each route predicts"
    return [{"kind": "pictures", "title": title, "legend": [*legend, ["no label", _color(VOID)]], "samples": samples}]


def _color(number: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*label_colors()[number])


def _bars(title: str, shares: Mapping[str, float]) -> Block:
    return {"kind": "bars", "title": title, "rows": [[name, share, f"{share:.1%}"] for name, share in shares.items()]}


def _chart_block(chart: Chart) -> Block:
    return {"kind": "chart", "title": chart.title, "chart": asdict(chart)}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return metric_text(value, digits=3) if isinstance(value, float) else str(value)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def hand_made_designs(run: Run) -> list[Candidate]:
    """Returns the hand-made designs, each at the first of its settings that the study allows, cheapest first."""
    first: dict[int, Candidate] = {}
    for one in run.candidates:
        if one.baseline and (one.trial not in first or one.point < first[one.trial].point):
            first[one.trial] = one
    return sorted(first.values(), key=lambda one: one.measured.macs)
