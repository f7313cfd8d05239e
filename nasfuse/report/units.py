"""Formatting of numbers with units."""

import math

from nasfuse.domain.cost import COSTS

#: SI prefixes by the exponent of 1000, from the smallest to the largest that is used.
_PREFIXES = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P", 6: "E"}


def with_prefix(value: float, unit: str) -> str:
    """Returns `value` with three significant digits and an SI prefix.

    >>> with_prefix(48_210, "MACs")
    '48.2 kMACs'
    >>> with_prefix(0.0007, "s")
    '700 µs'
    """
    rounded = float(f"{value:.3g}")
    exponent = math.floor(math.log10(abs(rounded)) / 3) if rounded else 0
    exponent = min(max(exponent, min(_PREFIXES)), max(_PREFIXES))
    return f"{float(f'{rounded / 1000.0**exponent:.3g}'):g} {_PREFIXES[exponent]}{unit}".rstrip()


def cost_label(cost: str, value: float) -> str:
    """Returns a value of the cost named `cost` with its unit."""
    return with_prefix(value, COSTS[cost].unit)
