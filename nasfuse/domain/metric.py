"""Metrics of recipes: names, directions and the tasks they apply to."""

from dataclasses import dataclass

from nasfuse.errors import InvalidInputError, nearest

#: Relative loss of a metric up to which another setting of a network counts as equally good.
_TOLERATED_LOSS = 0.01


@dataclass(frozen=True)
class Metric:
    """A measure of predictive performance.

    Attributes:
        name: Name in recipes.
        direction: `maximize` or `minimize`.
        tasks: Kinds of task it applies to.
        has_unit: Whether its values have the unit of the target; other metrics are dimensionless.
        has_origin: Whether it depends on the zero and the unit of the target, which then has a scale of its own.
    """

    name: str
    direction: str
    tasks: tuple[str, ...]
    has_unit: bool = False
    has_origin: bool = False

    @property
    def sign(self) -> float:
        """Returns the factor that turns the metric into an objective to minimise."""
        return -1.0 if self.direction == "maximize" else 1.0

    def holds(self, value: float, reference: float) -> bool:
        """Returns whether `value` is at most 1 % of `reference` worse than it.

        >>> METRICS["accuracy"].holds(0.893, 0.9), METRICS["mae"].holds(0.893, 0.88)
        (True, False)
        """
        return self.sign * (value - reference) <= _TOLERATED_LOSS * abs(reference)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "maximize", ("multiclass",)),
        Metric("balanced_accuracy", "maximize", ("multiclass",)),
        Metric("macro_f1", "maximize", ("multiclass", "multilabel")),
        Metric("macro_f2", "maximize", ("multiclass", "multilabel")),
        Metric("macro_f05", "maximize", ("multiclass", "multilabel")),
        Metric("weighted_f1", "maximize", ("multiclass", "multilabel")),
        Metric("micro_f1", "maximize", ("multilabel",)),
        Metric("top3_accuracy", "maximize", ("multiclass",)),
        Metric("top5_accuracy", "maximize", ("multiclass",)),
        Metric("quadratic_kappa", "maximize", ("multiclass",)),
        Metric("auc", "maximize", ("multiclass", "multilabel")),
        Metric("auprc", "maximize", ("multiclass", "multilabel")),
        Metric("log_loss", "minimize", ("multiclass", "multilabel")),
        Metric("miou", "maximize", ("segmentation",)),
        Metric("pixel_accuracy", "maximize", ("segmentation",)),
        Metric("r2", "maximize", ("regression",)),
        Metric("mae", "minimize", ("regression",), has_unit=True),
        Metric("rmse", "minimize", ("regression",), has_unit=True),
        Metric("pearson", "maximize", ("regression",)),
        Metric("spearman", "maximize", ("regression",)),
        Metric("affect_acc2", "maximize", ("regression",), has_origin=True),
        Metric("affect_f1", "maximize", ("regression",), has_origin=True),
        Metric("affect_acc7", "maximize", ("regression",), has_origin=True),
    )
}


def get_metric(name: str, task: str) -> Metric:
    """Returns the metric called `name`.

    Raises:
        InvalidInputError: There is no such metric, or it does not apply to `task`.
    """
    if name not in METRICS:
        raise InvalidInputError(f"metric: {name!r} is not known; {nearest(name, METRICS)}")
    metric = METRICS[name]
    if task not in metric.tasks:
        fitting = [other.name for other in METRICS.values() if task in other.tasks]
        raise InvalidInputError(f"metric: {name} does not apply to a {task} task; use {' or '.join(fitting)}")
    return metric


def metric_text(value: float, *, digits: int = 4) -> str:
    """Returns a metric or a difference of metrics as text, in scientific notation if it is very large or very small.

    >>> metric_text(0.98124), metric_text(3.1e-9), metric_text(1.2345678e19)
    ('0.9812', '3.1e-09', '1.235e+19')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}g}"
