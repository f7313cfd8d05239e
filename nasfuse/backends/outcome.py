"""How a trial can end."""

from dataclasses import dataclass

from nasfuse.domain.operating_point import Measurements


@dataclass(frozen=True)
class Measured:
    """The trial has a result.

    Attributes:
        measurements: The operating points and the record of the trial.
    """

    measurements: Measurements


@dataclass(frozen=True)
class Stopped:
    """The trial was stopped early, as the driver decided.

    Attributes:
        epoch: The last epoch that was trained.
        metric: The metric after that epoch; None where no epoch has ended that was reported.
    """

    epoch: int
    metric: float | None


@dataclass(frozen=True)
class Failed:
    """The trial has no result.

    Attributes:
        reason: One line.
    """

    reason: str


@dataclass(frozen=True)
class Faulted:
    """The trial has no result because of what surrounds it, for instance a full disk or a lost file.

    Attributes:
        reason: One line.
    """

    reason: str


@dataclass(frozen=True)
class Died:
    """The process of the trial ended without a result, for instance because its machine was lost."""


#: How a trial can end.
Outcome = Measured | Stopped | Failed | Faulted | Died
