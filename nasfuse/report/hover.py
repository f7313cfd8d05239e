"""What a chart shows of an operating point under the pointer."""

import html

from nasfuse.domain.metric import metric_text
from nasfuse.report.units import with_prefix
from nasfuse.search.front import Candidate


def hover_text(candidate: Candidate) -> str:
    """Returns trial, metric, costs and network of an operating point as HTML."""
    measured = candidate.measured
    name = f"<b>{html.escape(candidate.baseline)}</b><br>" if candidate.baseline else ""
    return (
        f"{name}trial {candidate.label}: {metric_text(measured.metric)}<br>{with_prefix(measured.macs, 'MACs')}, "
        f"{with_prefix(measured.latency_s, 's')}<br>{html.escape(candidate.summary)}"
    )
