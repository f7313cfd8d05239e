"""What the figures of sub-networks on a front are, in one sentence."""

from collections.abc import Sequence

from nasfuse.errors import counted
from nasfuse.search.front import Candidate


def extracted_note(front: Sequence[Candidate]) -> str | None:
    """Returns which points are those of sub-networks as they were cut out; None if there are none.

    Args:
        front: Operating points; those of ensembles count by their members.
    """
    networks = [member for candidate in front for member in (candidate.members or (candidate,))]
    n_extracted = sum(one.measured.figure == "extracted" for one in networks)
    if not n_extracted:
        return None
    are = "is a sub-network" if n_extracted == 1 else "are sub-networks"
    return (
        f"{n_extracted} of {counted(len(networks), 'network')} {are} with the weights of an elastic training "
        "(extracted), not trained alone (scratch), as the exported recipe would be"
    )
