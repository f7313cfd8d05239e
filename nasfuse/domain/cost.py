"""The costs a study can minimise: what each is called, its unit, and whether it is known before training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A cost of a network at one operating point.

    Attributes:
        name: As studies name it; also the field of `OperatingPoint` that holds it.
        column: Title of its column in tables.
        title: Title of its axis in charts.
        unit: Unit symbol that takes an SI prefix; empty for a plain count.
        is_count: Whether it is a whole number, written out in tables.
        reference: Reference value for hypervolumes. None where the cost is known before training; the reference is
            then the largest cost among networks drawn from the space.
    """

    name: str
    column: str
    title: str
    unit: str
    is_count: bool = False
    reference: float | None = None

    @property
    def is_known_before_training(self) -> bool:
        """Returns whether the cost of a static network follows from its recipe alone."""
        return self.reference is None


COSTS: dict[str, Cost] = {
    cost.name: cost
    for cost in (
        Cost("macs", "MACs", "MACs per sample (expected)", "MACs", is_count=True),
        Cost("params", "params", "parameters", "", is_count=True),
        Cost("latency_s", "latency", "latency in seconds (batch 1, median)", "s", reference=1.0),
        Cost("peak_bytes", "activations", "activation memory per sample in bytes", "B", reference=float(2**30)),
    )
}
