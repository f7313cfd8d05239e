"""Descriptions of the points of a front, which name the network of several points once."""

from collections.abc import Sequence

from nasfuse.search.front import Candidate


def descriptions(candidates: Sequence[Candidate]) -> list[str]:
    """Returns a description of each point, in order.

    The first point of a network has the network and its setting, the others its label and their own setting.
    """
    first: dict[int, str] = {}
    found = []
    for one in candidates:
        if one.members or one.trial not in first:
            found.append(one.summary)
        else:
            found.append(f"as {first[one.trial]}: {one.measured.setting or 'the setting of its training'}")
        if not one.members:
            first.setdefault(one.trial, one.label)
    return found
