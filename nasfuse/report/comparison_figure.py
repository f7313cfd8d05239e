"""Overlaid fronts of several runs, as an image file and as an HTML file."""

from dataclasses import asdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nasfuse.domain.cost import COSTS
from nasfuse.experiment.atomic_files import replacing, write_text
from nasfuse.report.chart import DASHES, MARKS, Axis, Chart, Point, Series
from nasfuse.report.comparison import Comparison
from nasfuse.report.environment import make_environment
from nasfuse.report.hover import hover_lines
from nasfuse.search.history import HYPERVOLUME

# Colours of Okabe and Ito, which colour-blind people can tell apart; dashes and symbols differ for black and white.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", ":", "-.")
_SYMBOLS = ("o", "D", "s", "^", "*")


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
            marker=_SYMBOLS[number % len(_SYMBOLS)],
            linestyle=_DASHES[number % len(_DASHES)],
            color=_COLORS[number % len(_COLORS)],
            capsize=2,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_xlabel(COSTS[objectives.cost].title)
    axes.set_ylabel(f"{objectives.metric} (validation)")
    axes.grid(True, which="major", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)  # inside it would lie on points
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.lower().removeprefix("."))


def write_comparison_page(path: Path, comparison: Comparison) -> None:
    """Writes a self-contained HTML file with the fronts, their hypervolumes, and who leads at which cost."""
    page = (
        make_environment()
        .get_template("comparison.html")
        .render(
            comparison=comparison,
            cost_title=COSTS[comparison.objectives.cost].title,
            hypervolume=HYPERVOLUME,
            data={"charts": {"fronts": asdict(_chart(comparison))}},
        )
    )
    write_text(path, page)


def _chart(comparison: Comparison) -> Chart:
    objectives = comparison.objectives
    return Chart(
        title=f"{objectives.metric} and cost of {len(comparison.fronts)} fronts",
        description=f"The fronts of {' and '.join(comparison.fronts)}; further left is cheaper.",
        x=Axis(COSTS[objectives.cost].title, is_log=True),
        y=Axis(f"{objectives.metric} (validation)"),
        series=[
            Series(
                name,
                [
                    Point(
                        one.measured.cost(objectives.cost),
                        one.measured.metric,
                        [name, *hover_lines(one, objectives.metric)],
                        sd=one.metric_sd,
                    )
                    for one in front
                ],
                color=number % len(_COLORS),
                mark=MARKS[number % len(MARKS)],
                line="step",
                dash=DASHES[number % len(DASHES)],
            )
            for number, (name, front) in enumerate(comparison.fronts.items())
        ],
    )
