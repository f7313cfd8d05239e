"""Formatting of numbers with units."""

import math

from nasfuse.domain.cost import COSTS

#: SI prefixes from 10^-24 on, in steps of a thousand.
_PREFIXES = ("y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y")


def with_prefix(value: float, unit: str) -> str:
    """Returns `value` with three significant digits and an SI prefix.

    >>> with_prefix(48_210, "MACs")
    '48.2 kMACs'
    >>> with_prefix(0.0007, "s")
    '700 µs'
    """
    rounded = float(f"{value:.3g}")
    if rounded == 0 or not math.isfinite(rounded):
        return f"{rounded:g} {unit}".rstrip()
    step = min(max(int(f"{rounded:e}".partition("e")[2]) // 3, -8), 8)
    return f"{rounded / 1000.0**step:g} {_PREFIXES[step + 8]}{unit}".rstrip()


def cost_label(cost: str, value: float) -> str:
    """Returns a value of the cost named `cost` with its unit."""
    return with_prefix(value, COSTS[cost].unit)
