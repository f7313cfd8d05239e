"""Environment of the templates of reports."""

import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps

from nasfuse.domain.metric import metric_text
from nasfuse.report.descriptions import descriptions
from nasfuse.report.units import cost_label


def make_environment() -> Environment:
    """Returns the environment of the templates, with the filters `metric`, `descriptions`, `cost` and `island`."""
    environment = Environment(
        loader=PackageLoader("nasfuse.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["metric"] = metric_text
    environment.filters["descriptions"] = descriptions
    environment.filters["cost"] = lambda value, cost: cost_label(cost, value)
    environment.filters["island"] = lambda data: htmlsafe_json_dumps(_finite(data))
    return environment


def _finite(data: Any) -> Any:
    """Returns plain data with None in the place of numbers that JSON does not have."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
