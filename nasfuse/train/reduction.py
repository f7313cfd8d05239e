"""Sweeping networks that reduce tokens: keep ratios changed after training."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from nasfuse.data.dataset import Dataset
from nasfuse.domain.modality import Modality
from nasfuse.nn.fusion.joint_tokens import JointTokens
from nasfuse.nn.network import FusionNetwork, Network
from nasfuse.nn.reducers import Reducer
from nasfuse.nn.stream import TransformerStage
from nasfuse.train.equilibrium import measured_macs
from nasfuse.train.evaluate import evaluate

#: What keep ratios are multiplied with in a sweep.
_FACTORS = (2.0, 0.5, 0.25)

#: Keep ratio below which nothing is swept.
_LEAST = 1 / 256

#: Name of the knob, alone for the joint stages and with the name of a stream behind a dot.
_KNOB = "keep_ratio"


@dataclass(frozen=True)
class ReducedPoint:
    """One setting of the keep ratios of a trained network.

    Attributes:
        metric: On validation data.
        macs: Mean per sample.
        knobs: The setting.
        holds: Whether the metric is a number; fewer tokens are a network of their own, whatever it is.
    """

    metric: float
    macs: float
    knobs: dict[str, float]
    holds: bool

    @contextmanager
    def set_on(self, network: Network) -> Iterator[None]:
        """Gives the reducers of `network` this setting while the block runs."""
        with kept_at(network, self.knobs):
            yield


def sweep_reducers(network: Network, dataset: Dataset, *, metric: str, device: torch.device) -> list[ReducedPoint]:
    """Returns the network at other keep ratios, of all streams together and of one at a time.

    Only reducers of tokens without parameters take another ratio after training. A network without any has no points.
    """
    points = []
    for knobs in settings_of(network, dataset.modalities):
        with kept_at(network, knobs):
            value, _ = evaluate(network, dataset.val, metric=metric, task=dataset.task, device=device)
            macs = measured_macs(network, dataset.val, dataset, device=device)
        points.append(ReducedPoint(value, macs, knobs, holds=math.isfinite(value)))
    return points


def settings_of(network: Network, modalities: Sequence[Modality]) -> list[dict[str, float]]:
    """Returns the settings of a sweep, knob to keep ratio; the same for every training of a recipe.

    A ratio that leaves as many tokens of a full-length sample as the recipe's own is none.
    """
    lengths = {modality.name: modality.shape[0] for modality in modalities if modality.kind == "sequence"}
    macs = network.static_macs(lengths)
    settings: list[dict[str, float]] = []
    for factor in _FACTORS:
        scaled = {}
        for knob, reducers in _knobs(network).items():
            ratio = min(max(factor * reducers[0].inference_keep_ratio, _LEAST), 1.0)
            with kept_at(network, {knob: ratio}):
                if network.static_macs(lengths) != macs:
                    scaled[knob] = ratio
        for setting in [scaled, *({knob: ratio} for knob, ratio in scaled.items())]:
            if setting and setting not in settings:
                settings.append(setting)
    return settings


@contextmanager
def kept_at(network: Network, knobs: Mapping[str, float]) -> Iterator[None]:
    """Gives the reducers of `network` other keep ratios while the block runs; those it does not name keep theirs."""
    own = _knobs(network)
    before = [(reducer, reducer.inference_keep_ratio) for knob in knobs for reducer in own[knob]]
    try:
        for knob, ratio in knobs.items():
            for reducer in own[knob]:
                reducer.inference_keep_ratio = ratio
        yield
    finally:
        for reducer, ratio in before:
            reducer.inference_keep_ratio = ratio


def _knobs(network: Network) -> dict[str, list[Reducer]]:
    """Returns knob to the reducers that it sets, in the stages that run."""
    if not isinstance(network, FusionNetwork):
        return {}
    knobs: dict[str, list[Reducer]] = {}
    for name, n_stages in network.branch.route.n_stages.items():
        stages = [stage for stage in network.streams[name].stages[:n_stages] if isinstance(stage, TransformerStage)]
        reducers = [stage.reducer for stage in stages if stage.reducer is not None and not stage.reducer.has_parameters]
        if reducers:
            knobs[f"{_KNOB}.{name}"] = reducers
    fusion = network.branch.fusion
    if isinstance(fusion, JointTokens) and fusion.reducer is not None:
        knobs[_KNOB] = [fusion.reducer]
    return knobs
