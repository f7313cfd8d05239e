"""The front as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nasfuse.experiment.reading import Run
from nasfuse.report.units import COST_TITLES
from nasfuse.search.front import Candidate, Objectives


def write_png(path: Path, run: Run, objectives: Objectives, front: list[Candidate]) -> None:
    """Draws every operating point, the hand-made designs and the front; cost on a logarithmic axis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    suggested = [c for c in run.candidates if c.baseline is None]
    hand_made = [c for c in run.candidates if c.baseline is not None]
    axes.scatter(*_xy(suggested, objectives), s=18, color="#9aa5b1", label="suggested", zorder=2)
    axes.scatter(*_xy(hand_made, objectives), s=34, marker="D", color="#d9822b", label="hand-made", zorder=3)
    axes.step(*_xy(front, objectives), where="post", color="#1f5fa8", linewidth=1.6, zorder=4)
    axes.scatter(*_xy(front, objectives), s=40, color="#1f5fa8", label="front", zorder=5)
    axes.set_xscale("log")
    axes.set_xlabel(COST_TITLES[objectives.cost])
    axes.set_ylabel(f"{objectives.metric} (validation)")
    axes.set_title(f"{run.study.name}: {len(run.candidates)} operating points, {len(front)} on the front")
    axes.grid(True, which="major", alpha=0.25)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=150)


def _xy(candidates: list[Candidate], objectives: Objectives) -> tuple[list[float], list[float]]:
    costs = [float(getattr(c.measured, objectives.cost)) for c in candidates]
    return costs, [c.measured.metric for c in candidates]
