"""What a chart shows of an operating point under the pointer."""

from nasfuse.domain.metric import metric_text
from nasfuse.report.units import with_prefix
from nasfuse.search.front import Candidate


def hover_lines(candidate: Candidate, metric: str) -> list[str]:
    """Returns trial, metric, costs and network of an operating point as lines of text."""
    measured = candidate.measured
    name = f" ({candidate.baseline})" if candidate.baseline else ""
    spread = f" +- {metric_text(candidate.metric_sd, digits=3)}" if candidate.metric_sd is not None else ""
    return [
        f"trial {candidate.label}{name}: {metric} {metric_text(measured.metric)}{spread}",
        f"{with_prefix(measured.macs, 'MACs')}, {with_prefix(measured.latency_s, 's')}",
        candidate.summary,
    ]
