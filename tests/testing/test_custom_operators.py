"""The suites on operators that nasfuse does not have, as another package would test its own."""

import numpy as np
import optuna
import pytest
import torch

from nasfuse.data import ModalityArrays
from nasfuse.data.arrays import build_table
from nasfuse.nn.fusion import VectorFusion
from nasfuse.nn.fusion.base import Projections
from nasfuse.nn.reducers import Reducer, n_kept
from nasfuse.nn.reducers.base import compact, kept_of, take
from nasfuse.nn.routing.router import InputRouter
from nasfuse.nn.stream import Stage, Stem, Stream
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.testing import EncoderSuite, FusionSuite, ReducerSuite, RouterSuite, SamplerSuite, SourceSuite
from nasfuse.testing.inputs import SEQUENCE
from nasfuse.testing.reducer import WIDTH
from nasfuse.testing.router import network_with


class Product(VectorFusion):
    """The product of projected features."""

    def __init__(self, widths, *, width, n_joint):
        super().__init__(width=width, n_joint=n_joint, expansion=2, dropout=0.0)
        self.project = Projections(widths, width)

    def merge(self, features):
        return torch.stack([self.project[name](one) for name, one in features.items()]).prod(dim=0)

    def merge_macs(self):
        return sum(self.project.macs_per_token.values())


class TestProduct(FusionSuite):
    @pytest.fixture
    def make_fusion(self):
        return lambda widths, *, n_joint: Product(widths, width=8, n_joint=n_joint)


class StepStem(Stem):
    """A linear layer on every step."""

    def __init__(self, n_features, width):
        super().__init__()
        self.linear = torch.nn.Linear(n_features, width)

    def forward(self, inputs, mask):
        return Tokens(self.linear(inputs), mask)

    def extent(self, length):
        return Extent(max(length, 1))

    def macs(self, length):
        return max(length, 1) * self.linear.in_features * self.linear.out_features


class StepStage(Stage):
    """A linear layer and tanh on every token."""

    def __init__(self, width):
        super().__init__()
        self.linear = torch.nn.Linear(width, width)

    def forward(self, tokens):
        return tokens.with_values(self.linear(tokens.values).tanh())

    def macs(self, extent):
        return extent.n_tokens * self.linear.in_features**2


class TestSteps(EncoderSuite):
    @pytest.fixture
    def modality(self):
        return SEQUENCE

    @pytest.fixture
    def make_encoder(self):
        return lambda modality, *, depth: Stream(
            StepStem(modality.shape[1], 8), [StepStage(8) for _ in range(depth)], width=8
        )


class First(Reducer):
    """Keeps the first tokens of each sample."""

    def left(self, extent, ratio):
        return Extent(n_kept(extent.n_tokens, ratio), n_cls=extent.n_cls)

    def reduce(self, tokens, seen):
        marked = torch.arange(tokens.values.shape[1]) < kept_of(tokens, self.ratio)[:, None]
        places, real = compact(marked, n_kept(tokens.values.shape[1], self.ratio))
        return Tokens(take(tokens.values, places), None if tokens.mask is None else real, cls=tokens.cls)


class TestFirst(ReducerSuite):
    @pytest.fixture
    def make_reducer(self):
        return lambda *ratios: First(*ratios, width=WIDTH)


class ByVector(InputRouter):
    """Decides by the vector alone."""

    def __init__(self, n_routes):
        torch.nn.Module.__init__(self)
        self.needs = {}
        self.linear = torch.nn.Linear(6, n_routes)

    def forward(self, inputs, masks):
        return self.linear(inputs["v"])

    def macs(self, lengths, extents):
        return self.linear.in_features * self.linear.out_features


class TestByVector(RouterSuite):
    @pytest.fixture
    def make_network(self):
        return lambda: network_with(lambda network: ByVector(len(network.route_names)))


def random_table(*, scales):
    random = np.random.default_rng(0)
    arrays = {"x": ModalityArrays("vector", random.normal(3, 2, (60, 4)))}
    return build_table("random", arrays, targets=np.arange(60) % 3, task="multiclass", scales=scales)


class TestRandomTable(SourceSuite):
    @pytest.fixture
    def load(self):
        return random_table


class TestOptunaSampler(SamplerSuite):
    @pytest.fixture
    def make_sampler(self):
        return lambda seed, *, number: optuna.samplers.RandomSampler(seed=1000 * seed + number)
