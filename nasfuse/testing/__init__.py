"""Conformance suites for operators, data sources, samplers and backends, also those of other packages.

Each suite is a class of pytest tests. A subclass whose name starts with `Test` overrides the fixtures that build the
object under test, and pytest collects the tests with it; the suites need pytest, which nasfuse itself does not.

- `FusionSuite`: a fusion operator, `nasfuse.nn.fusion.Fusion`.
- `EncoderSuite`: the encoder of one modality, `nasfuse.nn.stream.Stream`.
- `SiteSuite`: an operator of a fusion at sites, `nasfuse.nn.sites.SiteOperator`.
- `ReducerSuite`: a token reducer, `nasfuse.nn.reducers.Reducer`.
- `RoutedSuite`: a network with several routes, `nasfuse.nn.routing.network.RoutedNetwork`.
- `RouterSuite`: a router, `nasfuse.nn.routing.router.Router`.
- `SourceSuite`: a data source, a function that returns a `nasfuse.data.table.Table`.
- `SamplerSuite`: an Optuna sampler that suggests the parameters of trials.
- `BackendSuite`: a backend, `nasfuse.backends.base.Backend`, and the function that starts it.
"""

import pytest

for _suite in ("suite", "fusion", "encoder", "site", "reducer", "router", "source", "sampler", "backend"):
    pytest.register_assert_rewrite(f"nasfuse.testing.{_suite}")

from nasfuse.testing.backend import BackendSuite  # noqa: E402 - after their assertions are registered
from nasfuse.testing.encoder import EncoderSuite  # noqa: E402
from nasfuse.testing.fusion import FusionSuite  # noqa: E402
from nasfuse.testing.reducer import ReducerSuite  # noqa: E402
from nasfuse.testing.router import RoutedSuite, RouterSuite  # noqa: E402
from nasfuse.testing.sampler import SamplerSuite  # noqa: E402
from nasfuse.testing.site import SiteSuite  # noqa: E402
from nasfuse.testing.source import SourceSuite  # noqa: E402

__all__ = [
    "BackendSuite",
    "EncoderSuite",
    "FusionSuite",
    "ReducerSuite",
    "RoutedSuite",
    "RouterSuite",
    "SamplerSuite",
    "SiteSuite",
    "SourceSuite",
]
