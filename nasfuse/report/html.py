"""Report of a run as a self-contained HTML file."""

from pathlib import Path

import plotly.graph_objects as go

from nasfuse.domain.cost import COSTS
from nasfuse.experiment.damaged_part import read_part
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.plain_comparison import against_linear_model
from nasfuse.experiment.robustness import Robustness, read_robustness
from nasfuse.experiment.run_folder import write_text
from nasfuse.experiment.run_reader import Run
from nasfuse.report.environment import make_environment
from nasfuse.report.hover import hover_text
from nasfuse.report.outside import outside_note
from nasfuse.report.window import metric_window


def write_report(path: Path, run: Run) -> None:
    """Writes the chart, the front, the hand-made designs and the failures of a run to one HTML file.

    Warns:
        RunFolderWarning: The file of a part is damaged; the report is written without it.
    """
    counts = run.progress.states.items()
    page = (
        make_environment()
        .get_template("report.html")
        .render(
            study=run.study,
            objectives=run.objectives,
            cost_title=COSTS[run.objectives.cost].title,
            progress=run.progress,
            states=", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts if count),
            chart=_chart(run),
            folder=run.folder.root,
            checks=read_part(read_checks, run.folder) or [],
            plain=run.plain,
            against_linear=(
                against_linear_model(run.progress.best, run.plain) if run.plain and run.progress.best else None
            ),
            robustness=_robustness(run),
            outside=outside_note(run.progress.front, run.study.data),
            hand_made=sorted((c for c in run.candidates if c.baseline), key=lambda c: c.measured.macs),
        )
    )
    write_text(path, page)


def _robustness(run: Run) -> list[Robustness]:
    """Returns the members of the front without each modality, as far as they have been measured."""
    known = read_part(read_robustness, run.folder) or {}
    return [known[member.label] for member in run.progress.front if member.label in known]


def _chart(run: Run) -> str:
    objectives = run.objectives
    front = run.progress.front
    groups = [
        ("suggested", [c for c in run.candidates if c.baseline is None], {"color": "#9aa5b1", "size": 7}),
        ("hand-made", [c for c in run.candidates if c.baseline], {"color": "#d9822b", "size": 9, "symbol": "diamond"}),
        ("front", front, {"color": "#1f5fa8", "size": 10}),
    ]
    figure = go.Figure()
    for name, members, marker in groups:
        on_front = name == "front"
        figure.add_scatter(
            x=[c.measured.cost(objectives.cost) for c in members],
            y=[c.measured.metric for c in members],
            mode="lines+markers" if on_front else "markers",
            line={"shape": "hv" if on_front else "linear", "width": 2},
            marker=marker,
            error_y={"array": [c.metric_sd or 0.0 for c in members], "thickness": 1.2} if on_front else None,
            name=name,
            text=[hover_text(c) for c in members],
            hovertemplate="%{text}<extra></extra>",
        )
    window = metric_window(run.candidates, front, metric=objectives.metric)
    figure.update_layout(
        template="plotly_white",
        height=520,
        margin={"l": 60, "r": 20, "t": 20, "b": 60},
        xaxis={"type": "log", "title": {"text": COSTS[objectives.cost].title}, "exponentformat": "SI"},
        yaxis={"title": {"text": f"{objectives.metric} (validation)"}, "range": window[0] if window else None},
        legend={"orientation": "h", "y": 1.04},
    )
    chart: str = figure.to_html(full_html=False, include_plotlyjs=True, config={"displayModeBar": False})
    return chart
