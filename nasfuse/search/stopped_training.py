"""State of a training that was stopped before its end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StoppedTraining:
    """State of a training when it was stopped, at a rung by early stopping or because the study's time was over.

    Attributes:
        epoch: Epochs trained.
        epochs: Epochs that its recipe asks for.
        metric: Value of the study's metric after `epoch`; None where it had none, as the end of the time came first.
        log_cost: log10 of the study's cost.
        out_of_time: Whether the time of the study was over; otherwise, a comparison at a rung stopped it.
    """

    epoch: int
    epochs: int
    metric: float | None
    log_cost: float
    out_of_time: bool = False
