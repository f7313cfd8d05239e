"""The front as a table in the terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import metric_text
from nasfuse.report.descriptions import descriptions
from nasfuse.report.units import cost_label
from nasfuse.search.front import Candidate, Objectives


def front_table(
    front: Sequence[Candidate], *, objectives: Objectives, wide: bool, knee: Candidate | None = None
) -> Table:
    """Returns the front as a table in the order of `front`, in which a network of several points is described once.

    Args:
        front: Operating points.
        objectives: Metric and cost of the front.
        wide: Whether parameters and latency are shown.
        knee: Point that is marked with a star.
    """
    shown = {"macs", objectives.cost, *(("params", "latency_s") if wide else ())}
    if any(candidate.measured.outside_macs for candidate in front):
        shown.add("total_macs")
    costs = [cost for cost in COSTS if cost in shown]
    table = Table(header_style="bold", box=None, pad_edge=False)
    reported = [objectives.reported] if objectives.reported is not None else []
    robust = ["robust"] if objectives.robust_metric is not None else []
    for name in ("trial", objectives.metric, "sd (n)", *reported, *robust, *(COSTS[cost].column for cost in costs)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("network", overflow="fold")
    for candidate, description in zip(front, descriptions(front), strict=True):
        measured = candidate.measured
        hand_made = Text(f"  ({candidate.baseline})" if candidate.baseline else "", "yellow")
        star = "*" if knee is not None and candidate is knee else ""
        table.add_row(
            f"{star}{candidate.label}",
            metric_text(measured.metric),
            candidate.spread,
            *(["-" if measured.reported_metric is None else metric_text(measured.reported_metric)] if reported else []),
            *([metric_text(measured.robust_metric)] if robust and measured.robust_metric is not None else []),
            *(_written(cost, measured.cost(cost)) for cost in costs),
            Text.assemble(description, hand_made),
        )
    return table


def _written(cost: str, value: float) -> str:
    return f"{value:,}" if COSTS[cost].is_count else cost_label(cost, value)
