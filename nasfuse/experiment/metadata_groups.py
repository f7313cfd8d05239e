"""What a network does for samples of different kinds, by metadata that are no inputs: metric, MACs and routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nasfuse.data import Scale
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import DataError, InvalidInputError, listed
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.train.metrics import score
from nasfuse.train.route_table import RouteTable


@dataclass(frozen=True)
class GroupFigures:
    """Results for the samples that have one value of a column.

    Attributes:
        value: Value of the column.
        samples: Number of samples.
        metric: Metric of these samples; NaN if an output is not finite.
        macs: Mean multiply-accumulates per sample.
        routes: Share of the samples on each route; empty for a static network.
    """

    value: str
    samples: int
    metric: float
    macs: float
    routes: dict[str, float] = field(default_factory=dict)


#: From rows (k,) of the samples of a split to metric, MACs and shares of the routes of these samples.
Measured = Callable[[Tensor], tuple[float, float, dict[str, float]]]


def raw_metadata(config: DataConfig, names: Sequence[str]) -> RawTable:
    """Returns the data with columns of metadata.

    Args:
        config: Description of the data.
        names: Columns that are asked for, for messages.

    Raises:
        MissingFileError: The data do not exist any more.
        InvalidInputError: The data are a shipped set, which has no columns.
    """
    if config.source in SHIPPED_SOURCES:
        raise InvalidInputError(f"{config.source} is a shipped data set without metadata; leave out {listed(names)}")
    return load_raw(config.source)


def group_figures(values: Sequence[str], measured: Measured) -> list[GroupFigures]:
    """Returns the results by value, in the order of the values.

    Values for whose samples the metric is undefined are left out, such as the area under a curve for a single class.

    Args:
        values: (n,) value of each sample.
        measured: Measures some of the samples.
    """
    found = []
    for value in sorted(set(values)):
        rows = torch.tensor([row for row, one in enumerate(values) if one == value])
        try:
            metric, macs, routes = measured(rows)
        except DataError:
            continue
        found.append(GroupFigures(value, len(rows), metric, macs, routes))
    return found


def measured_routes(table: RouteTable, threshold: float) -> Measured:
    """Returns the measurement of a network with a router at a threshold, from its table of all routes."""

    def measured(rows: Tensor) -> tuple[float, float, dict[str, float]]:
        routed = table.rows(rows).at(threshold)
        return routed.metric, routed.macs, dict(zip(table.names, routed.usage, strict=True))

    return measured


def measured_digests(
    digests: Tensor, targets: Tensor, *, metric: str, task: str, target_scale: Scale | None, macs: float
) -> Measured:
    """Returns the measurement of a static network.

    Args:
        digests: (n, m) digests of its outputs.
        targets: Targets of the samples.
        metric: Name of the metric.
        task: Kind of task.
        target_scale: Scale of the standardised targets of a regression; None for other tasks.
        macs: Mean multiply-accumulates per sample, which are those of every group.
    """

    def measured(rows: Tensor) -> tuple[float, float, dict[str, float]]:
        if not torch.isfinite(digests[rows]).all():
            return float("nan"), macs, {}
        return score(metric, digests[rows], targets[rows], task=task, target_scale=target_scale), macs, {}

    return measured
