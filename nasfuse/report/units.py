"""Formatting of numbers with units."""

from matplotlib.ticker import EngFormatter

from nasfuse.domain.cost import COSTS


def with_prefix(value: float, unit: str) -> str:
    """Returns `value` with three significant digits and an SI prefix.

    >>> with_prefix(48_210, "MACs")
    '48.2 kMACs'
    >>> with_prefix(0.0007, "s")
    '700 µs'
    """
    three_digits = float(f"{value:.3g}")  # EngFormatter has a number of decimal places, not of significant digits
    return EngFormatter(unit=unit).format_data(three_digits)


def cost_label(cost: str, value: float) -> str:
    """Returns a value of the cost named `cost` with its unit."""
    return with_prefix(value, COSTS[cost].unit)
