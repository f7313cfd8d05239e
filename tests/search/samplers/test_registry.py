"""Samplers: every name that study files can have, through the conformance suite."""

from typing import get_args

import pytest

from nasfuse.search.samplers import make_sampler
from nasfuse.spec.study import Sampler
from nasfuse.testing import SamplerSuite


class TestSuite(SamplerSuite):
    @pytest.fixture(params=get_args(Sampler))
    def make_sampler(self, request):
        return lambda seed, *, number: make_sampler(request.param, seed, number=number)
