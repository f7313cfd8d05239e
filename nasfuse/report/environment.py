"""Environment of the templates of reports."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from nasfuse.domain.metric import metric_text
from nasfuse.report.units import cost_label


def make_environment() -> Environment:
    """Returns the environment of the templates, with the filters `metric` and `cost`."""
    environment = Environment(
        loader=PackageLoader("nasfuse.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["metric"] = metric_text
    environment.filters["cost"] = lambda value, cost: cost_label(cost, value)
    return environment
