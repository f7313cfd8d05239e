"""Overlaid fronts of several runs, as an image file and as an HTML file."""

from pathlib import Path

import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nasfuse.domain.cost import COSTS
from nasfuse.experiment.run_folder import replacing, write_text
from nasfuse.report.comparison import Comparison
from nasfuse.report.environment import make_environment
from nasfuse.report.hover import hover_text

# Colours of Okabe and Ito, which colour-blind people can tell apart; dashes and symbols differ for black and white.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = (("-", "solid"), ("--", "dash"), (":", "dot"), ("-.", "dashdot"))
_SYMBOLS = (("o", "circle"), ("D", "diamond"), ("s", "square"), ("^", "triangle-up"), ("v", "triangle-down"))


def write_comparison_figure(path: Path, comparison: Comparison) -> None:
    """Writes a figure of the fronts with a logarithmic cost axis; the suffix of `path` determines its format.

    Raises:
        OSError: The file cannot be written. An existing file of this name is then unchanged.
    """
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    objectives = comparison.objectives
    for number, (name, front) in enumerate(comparison.fronts.items()):
        axes.errorbar(
            [one.measured.cost(objectives.cost) for one in front],
            [one.measured.metric for one in front],
            yerr=[one.metric_sd or 0.0 for one in front],
            drawstyle="steps-post",
            marker=_SYMBOLS[number % len(_SYMBOLS)][0],
            linestyle=_DASHES[number % len(_DASHES)][0],
            color=_COLORS[number % len(_COLORS)],
            capsize=2,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_xlabel(COSTS[objectives.cost].title)
    axes.set_ylabel(f"{objectives.metric} (validation)")
    axes.grid(True, which="major", alpha=0.25)
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.lower().removeprefix("."))


def write_comparison_page(path: Path, comparison: Comparison) -> None:
    """Writes a self-contained HTML file with the fronts, their hypervolumes, and who leads at which cost."""
    page = (
        make_environment()
        .get_template("comparison.html")
        .render(comparison=comparison, cost_title=COSTS[comparison.objectives.cost].title, chart=_chart(comparison))
    )
    write_text(path, page)


def _chart(comparison: Comparison) -> str:
    objectives = comparison.objectives
    figure = go.Figure()
    for number, (name, front) in enumerate(comparison.fronts.items()):
        figure.add_scatter(
            x=[one.measured.cost(objectives.cost) for one in front],
            y=[one.measured.metric for one in front],
            mode="lines+markers",
            line={"shape": "hv", "dash": _DASHES[number % len(_DASHES)][1], "color": _COLORS[number % len(_COLORS)]},
            marker={"symbol": _SYMBOLS[number % len(_SYMBOLS)][1], "size": 9},
            error_y={"array": [one.metric_sd or 0.0 for one in front], "thickness": 1.2},
            name=name,
            text=[hover_text(one) for one in front],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_layout(
        template="plotly_white",
        height=520,
        margin={"l": 60, "r": 20, "t": 20, "b": 60},
        xaxis={"type": "log", "title": {"text": COSTS[objectives.cost].title}, "exponentformat": "SI"},
        yaxis={"title": {"text": f"{objectives.metric} (validation)"}},
        legend={"orientation": "h", "y": 1.04},
    )
    chart: str = figure.to_html(full_html=False, include_plotlyjs=True, config={"displayModeBar": False})
    return chart
