"""Routers, which compute one logit per route for each sample (the gating network of DynMM)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.domain.modality import Modality
from nasfuse.nn.branch import States
from nasfuse.nn.packing import HasPackedWeights, Packing, Packings, packed_size
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.places import Line, Place
from nasfuse.nn.stream import (
    ConvolutionStage,
    Stage,
    Stream,
    TransformerStage,
    conv_stream,
    mlp_stream,
    transformer_stream,
)
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.tasks import task_kind

#: Options of the reducers of routers, which keep all tokens.
_KEEP = {"kind": "average", "keep_ratio": 1.0}


class Router(nn.Module, ABC):
    """Base class of networks that compute a logit for every route.

    Attributes:
        needs: Stream name to the number of stages that run for all samples before the router.
        runs_cheap_route: Whether the cheapest route runs for all samples before the router.
        inputs: Modalities that the router reads itself.
    """

    needs: Mapping[str, int]
    runs_cheap_route: bool = False
    inputs: frozenset[str] = frozenset()

    @abstractmethod
    def macs(self, lengths: Mapping[str, int], extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the router for sequences of `lengths` and tokens of `extents`."""


class InputRouter(Router):
    """Router on the inputs of all streams, as in the paper.

    `linear` and `mlp` act on the concatenated, flattened inputs (the gate for MM-IMDB in the paper is an MLP of width
    128). `conv` and `transformer` encode every sequence or image with one small stage (the gate for MOSEI in the paper
    is a transformer), and vectors with a linear layer.
    """

    def __init__(self, modalities: Sequence[Modality], *, n_routes: int, form: str, width: int) -> None:
        """Builds one encoder per modality."""
        super().__init__()
        self.needs = {}
        self.inputs = frozenset(modality.name for modality in modalities)
        self.form = form
        own = n_routes if form == "linear" else width
        self.encoders = PerStream({m.name: _encoder(m, form, own) for m in modalities})
        n_features = width * len(modalities) if form in ("conv", "transformer") else width
        self.out = nn.Identity() if form == "linear" else nn.Linear(n_features, n_routes)
        self.out_macs = 0 if form == "linear" else n_features * n_routes

    def forward(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Returns logits (b, n_routes) for the inputs and masks of a network."""
        features = []
        for name in self.encoders:
            encoder = self.encoders[name]
            tokens = encoder(inputs[name], masks.get(name), n_stages=len(encoder.stages))
            features.append(tokens.mean())
        if self.form in ("conv", "transformer"):
            joint = F.gelu(torch.cat(features, dim=1))
        else:  # a linear layer on a concatenation is a sum of linear layers
            joint = torch.stack(features).sum(dim=0)
            joint = joint if self.form == "linear" else F.gelu(joint)
        logits: Tensor = self.out(joint)
        return logits

    def macs(self, lengths: Mapping[str, int], extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the encoders and of the last layer."""
        encoders = [self.encoders[name] for name in self.encoders]
        own = [
            encoder.macs(lengths.get(name, 0), n_stages=len(encoder.stages))[0]
            for name, encoder in zip(self.encoders, encoders, strict=True)
        ]
        return sum(own) + self.out_macs


class StreamRouter(Router):
    """Router on the tokens after the stem of one stream; other streams run only on routes that need them."""

    def __init__(self, stream: str, in_width: int, *, on_grid: bool, n_routes: int, form: str, width: int) -> None:
        """Builds the router for tokens of `in_width` features, those of an image if `on_grid`."""
        super().__init__()
        self.stream = stream
        self.needs = {stream: 0}
        self.project = nn.Identity() if form == "linear" else nn.Linear(in_width, width)
        self.stage: Stage | None = None
        if form == "conv":
            self.stage = ConvolutionStage(width, on_grid=on_grid, dropout=0.0)
        elif form == "transformer":
            self.stage = TransformerStage(width, heads=_heads(width), mlp_ratio=2, dropout=0.0)
        self.form = form
        self.out = nn.Linear(in_width if form == "linear" else width, n_routes)
        self.project_macs = 0 if form == "linear" else in_width * width

    def forward(self, states: States) -> Tensor:
        """Returns logits (b, n_routes)."""
        tokens = states.at(Place(Line(self.stream), 0))
        if self.stage is None:
            features = self.project(tokens.mean())
        else:
            projected: Tokens = self.stage(Tokens(self.project(tokens.values), tokens.mask, tokens.grid))
            features = projected.mean()
        logits: Tensor = self.out(features if self.form == "linear" else F.gelu(features))
        return logits

    def macs(self, lengths: Mapping[str, int], extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of projection, stage and last layer."""
        extent = extents[self.stream]
        n_projected = 1 if self.stage is None else extent.n_tokens
        stage = 0 if self.stage is None else self.stage.macs(replace(extent, n_cls=0))
        return n_projected * self.project_macs + stage + self.out.in_features * self.out.out_features


class RouteRouter(Router, HasPackedWeights):
    """Router on the features and the confidence of the cheapest route: a learned cascade.

    The last layer is initialised with zeros, so that the router starts as a confidence cascade: the logit of route k of
    0 .. K-1 is gain (u - level) k / (K - 1), where u is the uncertainty of the cheapest route (`doubt` of the kind of
    task). Regressions have no u; their router starts with equal logits. The confidence is given by the
    `confidence_features` of the kind of task.
    """

    runs_cheap_route = True
    ranks: Tensor

    def __init__(
        self,
        needs: Mapping[str, int],
        read: Packing,
        *,
        n_outputs: int,
        task: str,
        n_routes: int,
        form: str,
        width: int,
    ) -> None:
        """Builds the router for features packed as `read` and `n_outputs` logits of the cheapest route."""
        super().__init__()
        self.read, in_width = read, packed_size(read)
        self.needs = dict(needs)
        self.task = task_kind(task)
        self.norm = nn.LayerNorm(in_width)
        self.n_sure = self.task.n_confidence_features(n_outputs)
        n_features = in_width + self.n_sure
        hidden = [nn.Linear(n_features, width), nn.GELU()] if form == "mlp" else []
        last = nn.Linear(width if hidden else n_features, n_routes)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)
        self.gain = nn.Parameter(torch.tensor(10.0))
        self.level = nn.Parameter(torch.tensor(0.1))
        ranks = torch.linspace(0, 1, n_routes, device="cpu")  # slow without weights, on the meta device
        self.register_buffer("ranks", torch.tensor(ranks.tolist()), persistent=False)
        self.own_macs = n_features * width + width * n_routes if hidden else n_features * n_routes

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Returns logits (b, n_routes) for features (b, d) and outputs (b, n_outputs) of the cheapest route."""
        sure = self.task.confidence_features(logits)
        result: Tensor = self.layers(torch.cat([self.norm(features), sure], dim=1))
        doubt = self.task.doubt(sure)
        return result if doubt is None else result + self.gain * (doubt - self.level) * self.ranks

    def packings(self) -> Packings:
        """Returns the packings of the norm, and of the concatenation that the first layer reads."""
        return {
            "norm.weight": {0: self.read},
            "norm.bias": {0: self.read},
            "layers.0.weight": {1: (*self.read, (self.n_sure,))},
        }

    def macs(self, lengths: Mapping[str, int], extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the layers."""
        return self.own_macs


def _encoder(modality: Modality, form: str, width: int) -> Stream:
    if form == "conv" and modality.kind != "vector":
        stride = min(2, *_sides(modality))
        return conv_stream(modality, depth=1, width=width, dropout=0.0, stride=stride, reducer=_KEEP)
    if form == "transformer" and modality.kind != "vector":
        return transformer_stream(
            modality,
            depth=1,
            width=width,
            dropout=0.0,
            heads=_heads(width),
            mlp_ratio=2,
            stride=min(4, *_sides(modality)) if modality.vocabulary is None else 1,
            window=None,
            readout="mean",
            reducer={**_KEEP, "at": None},
        )
    return mlp_stream(modality, depth=0, width=width, dropout=0.0, expansion=1)


def _sides(modality: Modality) -> tuple[int, ...]:
    return modality.shape[1:] if modality.kind == "image" else modality.shape[:1]


def _heads(width: int) -> int:
    return next(heads for heads in (4, 2, 1) if width % heads == 0)
