"""Names of metrics in recipes."""

from typing import Annotated

from pydantic import AfterValidator

from nasfuse.domain.metric import METRICS
from nasfuse.errors import nearest


def _known(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"{name!r} is not known; {nearest(name, METRICS)}")
    return name


#: Key of `nasfuse.domain.metric.METRICS`. Whether it fits the task is checked with the data.
MetricName = Annotated[str, AfterValidator(_known)]
