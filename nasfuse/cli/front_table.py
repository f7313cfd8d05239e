"""The front as a table in the terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from nasfuse.report.units import with_prefix
from nasfuse.search.front import Candidate


def front_table(
    front: Sequence[Candidate], *, metric: str, title: str, wide: bool, knee: Candidate | None = None
) -> Table:
    """Returns the candidates as a table, cheapest first; a star marks the knee, `wide` has more columns."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for name in ("trial", metric, "sd (n)", "MACs", *(("params", "latency") if wide else ())):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("network", overflow="fold")
    for candidate in front:
        measured = candidate.measured
        name = f"  [yellow]({escape(candidate.baseline)})[/]" if candidate.baseline else ""
        star = "*" if knee is not None and candidate is knee else ""
        table.add_row(
            f"{star}{candidate.label}",
            f"{measured.metric:.4f}",
            candidate.spread,
            f"{measured.macs:,}",
            *((f"{measured.params:,}", with_prefix(measured.latency_s, "s")) if wide else ()),
            f"{candidate.summary}{name}",
        )
    return table
