"""The known-cost sampler: Optuna's own suite, its limits, its fallbacks, and what its suggestions depend on."""

from functools import partial

import pytest
from optuna.testing import pytest_samplers

from nasfuse.search.samplers import KnownCostSampler


class TestByOptunasSuite(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.MultiObjectiveSamplerTestCase,
):
    @pytest.fixture
    def sampler(self):
        return partial(KnownCostSampler, 0, n_startup=2)
