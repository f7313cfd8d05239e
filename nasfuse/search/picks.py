"""The rules that choose one member of a front, and a sentence on each choice."""

from collections.abc import Sequence
from dataclasses import dataclass

from nasfuse.domain.cost import times_text
from nasfuse.domain.metric import metric_text
from nasfuse.search.front import Candidate, Objectives, best, knee_of

#: What a knee is, in one sentence.
KNEE = (
    "The knee is the cheapest point of a front whose metric is within one standard error of the best one, or, if no "
    "training was repeated, loses at most 1 % of what the best one gains over a constant prediction."
)


@dataclass(frozen=True)
class Pick:
    """A member of a front that a rule chooses.

    Attributes:
        rule: Name of the rule, one that `nasfuse export --pick` takes.
        candidate: The member.
        reason: Why it is this one, as a phrase.
    """

    rule: str
    candidate: Candidate
    reason: str


def picks(front: Sequence[Candidate], objectives: Objectives) -> dict[str, Pick]:
    """Returns the choice of each rule by its name: `best` metric, `knee` and `cheapest`.

    Args:
        front: Members of a front, at least one, cheapest first.
        objectives: Objectives of the front.
    """
    knee, top = knee_of(front, objectives), best(front, objectives)
    chosen = (
        Pick("best", top, f"the point with the best {objectives.metric}"),
        Pick("knee", knee.candidate, f"{knee.reason}, {_against(knee.candidate, top, objectives)}"),
        Pick("cheapest", front[0], f"the cheapest point, {_against(front[0], top, objectives)}"),
    )
    return {pick.rule: pick for pick in chosen}


def _against(chosen: Candidate, top: Candidate, objectives: Objectives) -> str:
    """Returns what a point loses against the best one, and what it costs relative to it."""
    if chosen is top:
        return "which is the best point itself"
    loss = metric_text(abs(top.measured.metric - chosen.measured.metric))
    share = chosen.measured.cost(objectives.cost) / max(top.measured.cost(objectives.cost), 1e-12)
    return f"which is {loss} worse than the best one at {times_text(share)} its cost"
