"""Figure of the front as an image file."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import METRICS
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.atomic_files import replacing
from nasfuse.experiment.run_reader import Run
from nasfuse.report.window import metric_window
from nasfuse.search.front import Candidate, Objectives

#: Suffixes of the formats that a figure can have.
FORMATS = (".png", ".svg", ".pdf")


def write_figure(path: Path, run: Run, objectives: Objectives, front: list[Candidate]) -> None:
    """Writes a figure of all operating points, the hand-made designs and the front, with a logarithmic cost axis.

    Args:
        path: File to write, in an existing folder. Its suffix, one of `FORMATS`, determines the format.
        run: Run with the operating points.
        objectives: Metric and cost of the axes.
        front: Non-dominated points under `objectives`.

    Raises:
        InvalidInputError: The suffix is not in `FORMATS`.
        OSError: The file cannot be written. An existing file of this name is then unchanged.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInputError(f"{path}: a figure is written as {', '.join(FORMATS)}; change the suffix")
    figure = _draw(run, objectives, front)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix.lower().removeprefix("."))


def _draw(run: Run, objectives: Objectives, front: list[Candidate]) -> Figure:
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    suggested = [c for c in run.candidates if c.baseline is None]
    hand_made = [c for c in run.candidates if c.baseline is not None]
    axes.scatter(*_xy(suggested, objectives), s=18, color="#9aa5b1", label="suggested", zorder=2)
    axes.scatter(*_xy(hand_made, objectives), s=34, marker="D", color="#d9822b", label="hand-made", zorder=3)
    axes.step(*_xy(front, objectives), where="post", color="#1f5fa8", linewidth=1.6, zorder=4)
    spread = [member.metric_sd or 0.0 for member in front]
    axes.errorbar(
        *_xy(front, objectives), yerr=spread, fmt="o", ms=6.5, color="#1f5fa8", capsize=2, label="front", zorder=5
    )
    if run.candidates:  # an empty logarithmic axis is an error
        axes.set_xscale("log")
    axes.set_xlabel(COSTS[objectives.cost].title)
    axes.set_ylabel(f"{objectives.metric} (validation)")
    title = f"{run.study.name}: {len(run.candidates)} operating points, {len(front)} on the front"
    window = metric_window(run.candidates, front, metric=objectives.metric)
    if window is not None:
        axes.set_ylim(window[0])
        title += f" ({window[1]} below the picture)" if METRICS[objectives.metric].sign < 0 else ""
    axes.set_title(title)
    axes.grid(True, which="major", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)  # inside it would lie on points
    return figure


def _xy(candidates: list[Candidate], objectives: Objectives) -> tuple[list[float], list[float]]:
    costs = [c.measured.cost(objectives.cost) for c in candidates]
    return costs, [c.measured.metric for c in candidates]
