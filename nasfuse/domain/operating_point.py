"""Results of a trial: operating points and a record."""

from dataclasses import asdict, dataclass, field
from typing import Any

from nasfuse.domain.cost import COSTS
from nasfuse.domain.knob import is_elastic
from nasfuse.errors import InvalidInputError


@dataclass(frozen=True)
class OperatingPoint:
    """One setting of the inference-time knobs of one trained network, measured on validation data.

    Attributes:
        metric: Value of the recipe's metric.
        macs: Expected multiply-accumulates per sample.
        params: Number of trainable parameters.
        latency_s: Median latency in seconds at batch size 1.
        latency_iqr_s: Interquartile range of the latency in seconds.
        peak_bytes: Activation memory of a training step, per sample.
        knobs: Knob to setting (`nasfuse.domain.knob`), for those that are not as the recipe has them, and always the
            `threshold` of a router, or `always`, the number of the route that all samples take whatever the threshold.
            Beside them, `route` names the one route that all samples take, where a router is static. A sub-network of
            an elastic network has the fields that are smaller, by their paths in a recipe.
        holds: False for a setting that cuts the network short of what it was trained for, and loses accuracy by it.
        costs: Further costs by name (`nasfuse.domain.cost.COSTS`).
        reported_metric: The metric that a study reports beside the one it selects by; None if there is one metric, or
            where the setting does not hold.
        robust_metric: The metric where all samples lack the one modality without which it is worst; None where it was
            not measured, which it is for studies with a `robust_metric`.
        outside_macs: Expected multiply-accumulates per sample with which the modalities that the network reads were
            computed outside of it; not part of `macs`.
    """

    metric: float
    macs: int
    params: int
    latency_s: float
    latency_iqr_s: float
    peak_bytes: int
    knobs: dict[str, Any] = field(default_factory=dict)
    holds: bool = True
    costs: dict[str, float] = field(default_factory=dict)
    reported_metric: float | None = None
    robust_metric: float | None = None
    outside_macs: int = 0

    @property
    def total_macs(self) -> int:
        """Returns the expected multiply-accumulates per sample, including those outside of the network."""
        return self.macs + self.outside_macs

    def cost(self, name: str) -> float:
        """Returns the cost called `name`.

        Raises:
            InvalidInputError: The cost was not measured.
        """
        value: float | None = self.costs.get(name, getattr(self, name, None))
        if name not in COSTS or value is None:
            raise InvalidInputError(f"the cost {name} was not measured when this network was trained; train it again")
        return value

    def is_within(self, max_macs: int | None) -> bool:
        """Returns whether the point has at most `max_macs` MACs; always, if there is no limit (None)."""
        return max_macs is None or self.macs <= max_macs

    @property
    def settings(self) -> dict[str, float]:
        """Returns knob to setting, without the name of the route to which a choice comes."""
        return {name: value for name, value in self.knobs.items() if name != "route"}

    @property
    def setting(self) -> str:
        """Returns a short description of the knobs for tables; empty if there are none."""
        shown = {name: _shown(name, value) for name, value in self.settings.items()}
        choice = "always" if "threshold" not in shown else "threshold"
        if "route" in self.knobs:
            shown[choice] = f"always {self.knobs['route']}"
        if choice == "threshold":
            shown.pop("always", None)
        return ", ".join(shown.values())

    @property
    def figure(self) -> str:
        """How the network of the point was trained: `extracted` as a sub-network of an elastic one, else `scratch`."""
        return "extracted" if any(is_elastic(name) for name in self.knobs) else "scratch"

    def to_plain(self) -> dict[str, Any]:
        """Returns the point as a plain mapping."""
        return asdict(self)


def _shown(knob: str, value: float) -> str:
    if not is_elastic(knob):
        return f"{knob} {value:.3g}"
    *_, part, field_name = knob.split(".")  # a stream or the fusion
    return f"{part} {field_name} {value}"


@dataclass(frozen=True)
class Measurements:
    """Results of a training that are stored in the study.

    Attributes:
        points: One or more operating points.
        record: Details of the training, such as seed, versions, device, wall time and epochs.
    """

    points: tuple[OperatingPoint, ...]
    record: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        """Returns the measurements as plain mappings."""
        return {"points": [point.to_plain() for point in self.points], "record": self.record}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Measurements":
        """Returns the measurements from the output of `to_plain`."""
        return cls(tuple(OperatingPoint(**point) for point in plain["points"]), plain["record"])
