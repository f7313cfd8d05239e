"""Why a point is chosen, and what the members of the front beside it would give for less or more cost."""

from nasfuse.domain.cost import COSTS, times_text
from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.experiment.run_reader import Run
from nasfuse.export.point import Choice
from nasfuse.search.front import Candidate


def neighbours(run: Run, chosen: Candidate) -> tuple[Candidate | None, Candidate | None]:
    """Returns the members of the front that are next cheaper and next costlier than a point; None where there is none.

    The costlier one is also better than the point, which may lie behind the front.
    """
    name, sign = run.objectives.cost, METRICS[run.objectives.metric].sign
    cost = chosen.measured.cost(name)
    cheaper = [one for one in run.progress.front if one.measured.cost(name) < cost]
    better = [
        one
        for one in run.progress.front
        if one.measured.cost(name) > cost and sign * one.measured.metric < sign * chosen.measured.metric
    ]
    return (cheaper[-1] if cheaper else None), (better[0] if better else None)


def explanation(run: Run, choice: Choice) -> str:
    """Returns a sentence on why a point is chosen, and what its neighbours on the front would give and cost."""
    chosen = choice.candidate
    cheaper, better = neighbours(run, chosen)
    less = "no point of the front is cheaper"
    if cheaper is not None:
        less = f"the next cheaper point of the front is {_described(run, cheaper, chosen)}"
    more = "no costlier one is better"
    if better is not None:
        more = f"the next better one is {_described(run, better, chosen)}"
    return f"Trial {chosen.label} {choice.reason}; {less}, and {more}."


def _described(run: Run, one: Candidate, chosen: Candidate) -> str:
    metric, name = run.objectives.metric, run.objectives.cost
    difference = METRICS[metric].sign * (chosen.measured.metric - one.measured.metric)
    word = "better" if difference > 0 else "worse"
    cost, kind = one.measured.cost(name), COSTS[name]
    amount = f"{1e3 * cost:.3g} ms" if kind.unit == "s" else f"{cost:,.0f} {kind.unit}"
    ratio = cost / max(chosen.measured.cost(name), 1e-12)
    return f"trial {one.label}, {metric_text(abs(difference))} {word} at {amount} ({times_text(ratio)} as much)"
