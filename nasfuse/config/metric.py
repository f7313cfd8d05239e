"""The metrics a recipe can name: which way is better and for which tasks they make sense."""

from dataclasses import dataclass

from nasfuse.errors import InvalidInputError, nearest


@dataclass(frozen=True)
class Metric:
    """A figure of merit.

    Attributes:
        name: As recipes name it.
        direction: `maximize` or `minimize`.
        tasks: Kinds of task it can judge.
        worst: Reference value for hypervolumes; what a useless network gets.
    """

    name: str
    direction: str
    tasks: tuple[str, ...]
    worst: float

    @property
    def sign(self) -> float:
        """Returns the factor that turns the metric into something to minimise."""
        return -1.0 if self.direction == "maximize" else 1.0


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "maximize", ("multiclass",), 0.0),
        Metric("balanced_accuracy", "maximize", ("multiclass",), 0.0),
        Metric("macro_f1", "maximize", ("multiclass", "multilabel"), 0.0),
        Metric("micro_f1", "maximize", ("multilabel",), 0.0),
        Metric("r2", "maximize", ("regression",), 0.0),
        Metric("mae", "minimize", ("regression",), 1e3),
    )
}


def get_metric(name: str, task: str) -> Metric:
    """Returns the metric called `name`.

    Raises:
        InvalidInputError: No such metric, or it cannot judge `task`.
    """
    if name not in METRICS:
        raise InvalidInputError(f"metric: {name!r} is not known; {nearest(name, METRICS)}")
    metric = METRICS[name]
    if task not in metric.tasks:
        fitting = [other.name for other in METRICS.values() if task in other.tasks]
        raise InvalidInputError(f"metric: {name} cannot judge a {task} task; use {' or '.join(fitting)}")
    return metric
