"""Report of a run as a self-contained HTML file."""

import html
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import metric_text
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.run_folder import write_text
from nasfuse.experiment.run_reader import Run
from nasfuse.report.units import cost_label, with_prefix
from nasfuse.report.window import metric_window
from nasfuse.search.front import Candidate

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:1080px;margin:2.5rem auto;padding:0 1.2rem}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.2rem 0 .5rem}
p.lead{color:#52606d;margin:.2rem 0 1.4rem}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #e4e7eb}td.n,th.n{text-align:right;
white-space:nowrap;font-variant-numeric:tabular-nums}th{color:#52606d;font-weight:600}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1rem 0}
dt{color:#52606d;font-size:.82rem}dd{margin:0;font-size:1.15rem;font-weight:600}
code{background:#f0f3f6;padding:.1rem .3rem;border-radius:3px}
"""


def write_report(path: Path, run: Run) -> None:
    """Writes the chart, the front, the hand-made designs and the failures of a run to one HTML file."""
    progress = run.progress
    study, objectives = run.study, run.objectives
    hand_made = sorted((c for c in run.candidates if c.baseline), key=lambda c: c.measured.macs)
    states = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in progress.states.items() if count)
    facts = {
        "trials": states,
        f"best {objectives.metric}": metric_text(progress.best.measured.metric) if progress.best else "none yet",
        "best hand-made": metric_text(progress.best_baseline.measured.metric) if progress.best_baseline else "none",
        "front": f"{len(progress.front)} points",
        "hypervolume": metric_text(progress.hypervolume),
        "epochs": f"{progress.epochs_spent} spent, {progress.epochs_saved} saved",
    }
    body = [
        f"<h1>{html.escape(study.name)}</h1>",
        f"<p class=lead>{html.escape(objectives.metric)} on validation data against "
        f"{html.escape(COSTS[objectives.cost].title)}; data {html.escape(study.data.source)}, sampler "
        f"{html.escape(study.sampler)}, seed {study.seed}. The test split was not used.</p>",
        "<dl>" + "".join(f"<div><dt>{k}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items()) + "</dl>",
        _chart(run),
        f"<h2>Front</h2><p>Export a point with <code>nasfuse export {html.escape(str(run.folder.root))} --trial N "
        "-o recipe.yaml</code>. The metric is the mean of n trainings with different seeds, sd their standard "
        "deviation. FLOPs are 2 x MACs.</p>",
        _table(progress.front, objectives.metric, hand_made=True),
        _macs(run),
        "<h2>Hand-made designs</h2>",
        _table(hand_made, objectives.metric, hand_made=True),
        _failures(run),
    ]
    page = (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport "
        f"content='width=device-width'><title>{html.escape(study.name)} - nasfuse</title><style>{_STYLE}</style>"
        f"</head><body>{''.join(body)}</body></html>"
    )
    write_text(path, page)


def _chart(run: Run) -> str:
    objectives = run.objectives
    front = run.progress.front
    groups = [
        ("suggested", [c for c in run.candidates if c.baseline is None], {"color": "#9aa5b1", "size": 7}),
        ("hand-made", [c for c in run.candidates if c.baseline], {"color": "#d9822b", "size": 9, "symbol": "diamond"}),
        ("front", front, {"color": "#1f5fa8", "size": 10}),
    ]
    figure = go.Figure()
    for name, members, marker in groups:
        on_front = name == "front"
        figure.add_scatter(
            x=[c.measured.cost(objectives.cost) for c in members],
            y=[c.measured.metric for c in members],
            mode="lines+markers" if on_front else "markers",
            line={"shape": "hv" if on_front else "linear", "width": 2},
            marker=marker,
            error_y={"array": [c.metric_sd or 0.0 for c in members], "thickness": 1.2} if on_front else None,
            name=name,
            text=[_hover(c) for c in members],
            hovertemplate="%{text}<extra></extra>",
        )
    window = metric_window(run.candidates, front, metric=objectives.metric)
    figure.update_layout(
        template="plotly_white",
        height=520,
        margin={"l": 60, "r": 20, "t": 20, "b": 60},
        xaxis={"type": "log", "title": {"text": COSTS[objectives.cost].title}, "exponentformat": "SI"},
        yaxis={"title": {"text": f"{objectives.metric} (validation)"}, "range": window[0] if window else None},
        legend={"orientation": "h", "y": 1.04},
    )
    chart: str = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return chart


def _hover(candidate: Candidate) -> str:
    measured = candidate.measured
    name = f"<b>{html.escape(candidate.baseline)}</b><br>" if candidate.baseline else ""
    return (
        f"{name}trial {candidate.label}: {metric_text(measured.metric)}<br>{with_prefix(measured.macs, 'MACs')}, "
        f"{with_prefix(measured.latency_s, 's')}<br>{html.escape(candidate.summary)}"
    )


def _table(candidates: Sequence[Candidate], metric: str, *, hand_made: bool) -> str:
    if not candidates:
        return "<p>None.</p>"
    head = (
        f"<tr><th class=n>trial<th class=n>{html.escape(metric)}<th class=n>sd (n)<th class=n>MACs"
        "<th class=n>parameters<th class=n>latency<th class=n>activations<th>network</tr>"
    )
    rows = []
    for candidate in candidates:
        measured = candidate.measured
        name = f" <b>({html.escape(candidate.baseline)})</b>" if hand_made and candidate.baseline else ""
        rows.append(
            f"<tr><td class=n>{candidate.label}<td class=n>{metric_text(measured.metric)}"
            f"<td class=n>{candidate.spread}<td class=n>{measured.macs:,}"
            f"<td class=n>{measured.params:,}<td class=n>{with_prefix(measured.latency_s, 's')}"
            f"<td class=n>{cost_label('peak_bytes', measured.peak_bytes)}"
            f"<td>{html.escape(candidate.summary)}{name}</tr>"
        )
    return f"<table>{head}{''.join(rows)}</table>"


def _macs(run: Run) -> str:
    """Returns one line on the check of the front's MACs, and one for each member that fails it."""
    checks = read_checks(run.folder)
    if not checks:
        return ""
    failed = [one for one in checks if one.check.failed]
    lines = "".join(f"<li><b>trial {one.label}: {html.escape(str(one.check))}</b></li>" for one in failed)
    equal = f"<p>MACs by formula and as fvcore counts them are equal for {len(checks) - len(failed)} of {len(checks)} "
    return f"{equal}members at the end of the last search.</p>{f'<ul>{lines}</ul>' if lines else ''}"


def _failures(run: Run) -> str:
    reasons = run.progress.reasons
    if not reasons:
        return ""
    items = "".join(f"<li>trial {number}: {html.escape(reason)}</li>" for number, reason in reasons.items())
    return f"<h2>Failed trials</h2><ul>{items}</ul>"
