"""Conditional problems: networks of several streams, most of whose parameters exist only beside certain others.

A route chooses the streams, a stream its kind of encoder, an encoder its own fields, and several streams a kind of
fusion with fields of its own. The error is a function of what streams and fusion contribute, and of the distance of
training parameters from their best values, which depend on the network. All coefficients are drawn from the seed of the
problem. Contributions and MACs of streams add up, so the best front is computed exactly, stream by stream.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution

from benchmarks.search.learning_curve import EPOCHS, error_of, noisy_curve
from benchmarks.search.problem import Problem
from nasfuse.domain.route import JOIN, streams_of
from nasfuse.pareto import non_dominated
from nasfuse.search.parameters import ROUTE, Condition, Parameter
from nasfuse.search.samplers import Domain
from nasfuse.seeds import derive_seed

#: Number of streams by kind of problem; there are 27 and 37 parameters.
N_STREAMS = {"two-streams": 2, "three-streams": 3}

#: Fields of each kind of encoder.
ENCODERS: dict[str, dict[str, tuple[int, ...]]] = {
    "mlp": {"width": (16, 32, 64, 128, 256), "depth": (1, 2, 3, 4)},
    "conv": {"width": (8, 16, 32, 64), "depth": (1, 2, 3, 4), "kernel": (3, 5, 7)},
    "attention": {"width": (32, 64, 128), "depth": (1, 2, 3, 4), "heads": (1, 2, 4, 8)},
}

#: Fields of each kind of fusion.
FUSIONS: dict[str, dict[str, tuple[int, ...]]] = {
    "concat": {},
    "gated": {"width": (16, 32, 64, 128)},
    "attention": {"width": (16, 32, 64), "heads": (1, 2, 4)},
}

#: What a kind of fusion adds to the contributions of the streams at most, as a share of them.
_FUSION_GAINS = {"concat": 0.0, "gated": 0.2, "attention": 0.35}

#: Share of the sum of contributions that remains, as streams partly say the same; by number of streams.
_REMAINS = (1.0, 0.85, 0.75)

_BASE_MACS = 2e3
_N_TOKENS = 16
_N_FEATURES = 32

#: Random draws whose median error is that of the reference point.
_N_REFERENCE = 1000

Array = NDArray[np.float64]


class Conditional(Problem):
    """Networks of several streams. The error is that of a classification with ten classes, the cost log10 MACs."""

    max_epochs = EPOCHS
    log10_unit = 0.0

    def __init__(self, kind: str, *, seed: int) -> None:
        """Draws the coefficients.

        Args:
            kind: One of `N_STREAMS`.
            seed: Seed of the coefficients.
        """
        self.name = f"{kind}-{seed}"
        self._streams = tuple("abc"[: N_STREAMS[kind]])
        self.parameters = tuple(_parameters(self._streams))
        rng = np.random.default_rng(derive_seed(seed, f"conditional/{kind}"))
        worth = rng.permutation([1.4, 0.9, 0.6][: len(self._streams)])
        self._gains = {
            (stream, encoder): own * rng.uniform(0.7, 1.3)
            for stream, own in zip(self._streams, worth, strict=True)
            for encoder in ENCODERS
        }
        modules = [*self._gains, *(("fusion", fusion) for fusion in FUSIONS)]
        self._best_positions = {module: rng.uniform(0.4, 1.0, size=3) for module in modules}
        self._best_lr = {encoder: rng.uniform(-3.5, -1.8) for encoder in ENCODERS}
        self._best_dropout = {stream: rng.uniform(0.1, 0.4) for stream in self._streams}
        self._best_decay = rng.uniform(-5.0, -3.0)

    @cached_property
    def best_hypervolume(self) -> float:
        """Hypervolume of the best front."""
        return self.hypervolume(self.best_front)

    @cached_property
    def best_front(self) -> Array:
        """Rows (error, cost) of the best front: those of networks with the best training parameters."""
        rows: list[Array] = []
        for n_streams in range(1, len(self._streams) + 1):
            for streams in combinations(self._streams, n_streams):
                sums = np.zeros((1, 2))
                for stream in streams:
                    sums = _best_sums(sums, np.array(list(self._encoders(stream))))
                for gain, macs in self._fusions(n_streams):
                    rows.append(
                        np.column_stack([error_of(sums[:, 0] * gain), np.log10(_BASE_MACS + sums[:, 1] + macs)])
                    )
        points = np.concatenate(rows)
        return points[non_dominated(points)]

    @cached_property
    def reference(self) -> tuple[float, float]:  # type: ignore[override]
        """The median error of random networks, and the cost of the costliest one."""
        domain = Domain(self.parameters)
        draws = domain.rows(np.random.default_rng(0).random((_N_REFERENCE, len(self.parameters))))
        errors = [self.counted_error(domain.parameters(row), observed=math.nan) for row in draws]
        most = sum(max(macs for _, macs in self._encoders(stream)) for stream in self._streams)
        most += max(macs for _, macs in self._fusions(len(self._streams)))
        return float(np.median(errors)), math.log10(_BASE_MACS + most)

    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns log10 MACs."""
        streams = streams_of(params[ROUTE])
        macs = sum(self._encoder(stream, *_encoder_of(params, stream))[1] for stream in streams)
        return math.log10(_BASE_MACS + macs + self._fusion(params)[1])

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the errors of one training, which is slower with a lower learning rate."""
        speed = 5.0 + 1.5 * (math.log10(params["training.lr"]) + 2.5)
        return noisy_curve(self.counted_error(params, observed=math.nan), speed=speed, seed=seed)

    def counted_error(self, params: Mapping[str, Any], *, observed: float) -> float:
        """Returns the mean error over trainings."""
        streams = streams_of(params[ROUTE])
        quality = sum(self._encoder(stream, *_encoder_of(params, stream))[0] for stream in streams)
        quality *= self._fusion(params)[0] / (1 + self._misfit(params))
        return float(error_of(np.array(quality)))

    def _misfit(self, params: Mapping[str, Any]) -> float:
        """Returns how far the training parameters are from the best ones of this network; 0 if they are the best."""
        streams = streams_of(params[ROUTE])
        best_lr = np.mean([self._best_lr[_encoder_of(params, stream)[0]] for stream in streams])
        misfit = 0.5 * (math.log10(params["training.lr"]) - best_lr) ** 2
        misfit += 0.05 * (math.log10(params["training.weight_decay"]) - self._best_decay) ** 2
        for stream in streams:
            misfit += 2 * (params[f"network.streams.{stream}.dropout"] - self._best_dropout[stream]) ** 2
        return float(misfit)

    def _encoders(self, stream: str) -> Iterator[tuple[float, float]]:
        """Yields contribution and MACs of every encoder of a stream."""
        for encoder, fields in ENCODERS.items():
            for values in product(*fields.values()):
                yield self._encoder(stream, encoder, dict(zip(fields, values, strict=True)))

    def _encoder(self, stream: str, encoder: str, fields: Mapping[str, int]) -> tuple[float, float]:
        """Returns contribution and MACs of an encoder."""
        width, depth = fields["width"], fields["depth"]
        if encoder == "mlp":
            macs = _N_FEATURES * width + (depth - 1) * width**2
        elif encoder == "conv":
            macs = _N_TOKENS * fields["kernel"] * (2 * width + (depth - 1) * width**2)
        else:
            macs = _N_TOKENS * depth * (6 * width**2 + 2 * _N_TOKENS * width)
        fit = self._fit((stream, encoder), ENCODERS[encoder], fields)
        return self._gains[stream, encoder] * fit, float(macs)

    def _fusions(self, n_streams: int) -> Iterator[tuple[float, float]]:
        """Yields what every fusion multiplies the contributions by, and its MACs; a single stream is not fused."""
        if n_streams == 1:
            yield 1.0, 0.0
            return
        for fusion, fields in FUSIONS.items():
            for values in product(*fields.values()):
                yield self._fused(n_streams, fusion, dict(zip(fields, values, strict=True)))

    def _fusion(self, params: Mapping[str, Any]) -> tuple[float, float]:
        """Returns the same for one network."""
        n_streams = len(streams_of(params[ROUTE]))
        if n_streams == 1:
            return 1.0, 0.0
        fusion = params["network.fusion.kind"]
        return self._fused(n_streams, fusion, _fields_of(params, f"network.fusion.{fusion}", FUSIONS[fusion]))

    def _fused(self, n_streams: int, fusion: str, fields: Mapping[str, int]) -> tuple[float, float]:
        gain = _FUSION_GAINS[fusion] * self._fit(("fusion", fusion), FUSIONS[fusion], fields)
        width = fields.get("width", 0)
        macs = n_streams * (_N_FEATURES * width if fusion == "gated" else 4 * _N_TOKENS * width**2)
        return _REMAINS[n_streams - 1] * (1 + gain), float(macs)

    def _fit(self, module: tuple[str, str], choices: Mapping[str, Sequence[int]], fields: Mapping[str, int]) -> float:
        """Returns what of its gain a module reaches, at most 1; 1 if all fields have their best positions."""
        found = 1.0
        for (name, values), best in zip(choices.items(), self._best_positions[module], strict=False):
            found *= 1 - 0.7 * (values.index(fields[name]) / (len(values) - 1) - best) ** 2
        return found


def _parameters(streams: Sequence[str]) -> Iterator[Parameter]:
    routes = [JOIN.join(some) for n in range(1, len(streams) + 1) for some in combinations(streams, n)]
    yield _choice(ROUTE, routes)
    for stream in streams:
        path, exists = f"network.streams.{stream}", Condition(ROUTE, has=stream)
        yield _choice(f"{path}.encoder", list(ENCODERS), exists)
        yield Parameter(f"{path}.dropout", FloatDistribution(0.0, 0.5), 0.0, (exists,))
        for encoder, fields in ENCODERS.items():
            for name, values in fields.items():
                yield _choice(
                    f"{path}.{encoder}_{name}", values, exists, Condition(f"{path}.encoder", values=(encoder,))
                )
    several = Condition(ROUTE, at_least=2)
    yield _choice("network.fusion.kind", list(FUSIONS), several)
    for fusion, fields in FUSIONS.items():
        for name, values in fields.items():
            is_chosen = Condition("network.fusion.kind", values=(fusion,))
            yield _choice(f"network.fusion.{fusion}_{name}", values, several, is_chosen)
    yield Parameter("training.lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-2)
    yield Parameter("training.weight_decay", FloatDistribution(1e-6, 1e-2, log=True), 1e-4)


def _choice(name: str, values: Sequence[Any], *when: Condition) -> Parameter:
    return Parameter(name, CategoricalDistribution(values), values[0], when)


def _encoder_of(params: Mapping[str, Any], stream: str) -> tuple[str, dict[str, int]]:
    """Returns kind and fields of the encoder of a stream."""
    path = f"network.streams.{stream}"
    encoder = params[f"{path}.encoder"]
    return encoder, _fields_of(params, f"{path}.{encoder}", ENCODERS[encoder])


def _fields_of(params: Mapping[str, Any], path: str, names: Mapping[str, Any]) -> dict[str, int]:
    return {name: params[f"{path}_{name}"] for name in names}


def _best_sums(sums: Array, options: Array) -> Array:
    """Returns the non-dominated sums (contribution, MACs) of one row of `sums` (n, 2) and one of `options` (m, 2)."""
    added = (sums[:, None] + options[None]).reshape(-1, 2)
    return added[non_dominated(added * [-1, 1])]
