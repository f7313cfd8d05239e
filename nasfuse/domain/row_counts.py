"""Numbers of rows of what belongs together."""

from collections.abc import Mapping

from nasfuse.errors import DataError, counted


def check_same_rows(counts: Mapping[str, int], *, noun: str, origin: str = "") -> None:
    """Checks that columns or modalities have the same rows.

    Args:
        counts: Number of rows by name.
        noun: What has the names.
        origin: Where they are from, to follow the name of the one that differs.

    Raises:
        DataError: One has another number of rows than the first.
    """
    first = next(iter(counts), None)
    for name, count in counts.items():
        if first is not None and count != counts[first]:
            raise DataError(
                f"{noun} {name}{origin} has {counted(count, 'row')}, and {noun} {first} has {counts[first]}; give all "
                "the same rows"
            )
