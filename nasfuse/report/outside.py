"""What was computed outside of the networks of a front, in one sentence."""

from collections.abc import Sequence

from nasfuse.report.units import with_prefix
from nasfuse.search.front import Candidate
from nasfuse.spec.data import DataConfig


def outside_note(front: Sequence[Candidate], data: DataConfig) -> str | None:
    """Returns the multiply-accumulates that are counted apart from those of the networks; None if there are none.

    Args:
        front: Operating points; some may read fewer modalities than others.
        data: Data of the study.
    """
    found = [candidate.measured.outside_macs for candidate in front]
    if not any(found):
        return None
    low, high = min(found), max(found)
    size = with_prefix(high, "MACs")
    if low < high:
        size = f"{with_prefix(low, 'MACs') if low else '0'} to {size}"
    parts = []
    if data.frozen:
        noun = "encoder" if len(data.frozen) == 1 else "encoders"
        parts.append(f"the frozen {noun} of {' and '.join(data.frozen)}")
    if any(getattr(entry, "outside_macs", None) for entry in data.modalities.values()):
        parts.append("features computed outside")
    return f"+ {size} per sample of {' and of '.join(parts)}, which are not part of MACs but of total MACs"
