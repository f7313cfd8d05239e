"""Formatting of numbers with units."""

from nasfuse.domain.cost import COSTS

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def with_prefix(value: float, unit: str) -> str:
    """Returns `value` with three significant digits and an SI prefix.

    >>> with_prefix(48_210, "MACs")
    '48.2 kMACs'
    >>> with_prefix(0.0007, "s")
    '700 µs'
    """
    for factor, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * factor:  # what rounds to 1000 takes the next prefix
            return f"{float(f'{value / factor:.3g}'):g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def cost_label(cost: str, value: float) -> str:
    """Returns a value of the cost named `cost` with its unit."""
    return with_prefix(value, COSTS[cost].unit).rstrip()
