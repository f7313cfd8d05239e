"""The front without each modality, as a table in the terminal."""

from collections.abc import Sequence

from rich.table import Table

from nasfuse.domain.metric import metric_text
from nasfuse.experiment.robustness_file import Robustness


def robustness_table(found: Sequence[Robustness], *, metric: str) -> Table:
    """Returns a row for each point: the metric with all modalities, and without each; `~` marks those by the mean."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    names = list(found[0].without)
    for column in ("trial", metric, *(f"without {name}" for name in names)):
        table.add_column(column, justify="right", no_wrap=True)
    for one in found:
        marks = {name: "~" if name in one.by_mean else "" for name in names}
        values = [f"{marks[name]}{metric_text(one.without[name])}" for name in names]
        table.add_row(one.label, metric_text(one.metric), *values)
    return table
