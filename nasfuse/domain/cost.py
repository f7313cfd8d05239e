"""Costs that a study can minimise: names, units, and whether they are known before training."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A cost of a network at one operating point.

    Attributes:
        name: Name in studies.
        column: Title of its column in tables.
        title: Title of its axis in charts.
        unit: Unit symbol, written with an SI prefix; empty for a count without a unit.
        is_count: Whether it is a whole number, written with all digits in tables.
        measurer: `module:function` of its `nasfuse.cost.measurer.Measurer`, for a cost that does not depend on the
            settings of knobs; None for one that `nasfuse.train.measurement` measures at every operating point.
        reference: Reference value for hypervolumes. None for a cost that is known before training; the reference is
            then the largest cost among networks drawn from the space.
        of_ensemble: Returns the cost of an ensemble from those of its members.
    """

    name: str
    column: str
    title: str
    unit: str
    is_count: bool = False
    measurer: str | None = None
    reference: float | None = None
    of_ensemble: Callable[[Iterable[float]], float] = sum


COSTS: dict[str, Cost] = {
    cost.name: cost
    for cost in (
        Cost("macs", "MACs", "MACs per sample (expected)", "MACs", is_count=True),
        Cost(
            "total_macs",
            "total MACs",
            "MACs per sample (expected), with features computed outside",
            "MACs",
            is_count=True,
            reference=1e12,
        ),
        Cost("params", "params", "parameters", "", is_count=True, measurer="nasfuse.cost.measurer:parameters"),
        Cost("latency_s", "latency", "latency in seconds (batch 1, median)", "s", reference=1.0),
        Cost(
            "peak_bytes",
            "activations",
            "activation memory per sample in bytes",
            "B",
            measurer="nasfuse.cost.memory:activation_bytes",
            reference=float(2**30),
            of_ensemble=max,  # members are trained one after the other
        ),
    )
}


def times_text(ratio: float) -> str:
    """Returns a ratio of costs as text that "as much" can follow, with enough digits to tell it from 1.

    >>> times_text(1.0204), times_text(0.99996), times_text(0.2), times_text(1234.0)
    ('1.02 times', 'about', '0.2 times', '1,234 times')
    """
    if ratio >= 99.5:
        return f"{ratio:,.0f} times"
    texts = [f"{ratio:.{n_digits}g}" for n_digits in (2, 3, 4)]
    return next((f"{text} times" for text in texts if float(text) != 1), "about")
