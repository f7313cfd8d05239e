"""From a recipe to a network: the one place where configuration objects end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nasfuse.domain.modality import ENCODERS, Modality, Task
from nasfuse.domain.route import parse_route
from nasfuse.errors import InvalidInputError, nearest
from nasfuse.nn.branch import Branch, Head, Route
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.knob import knobs_as_trained
from nasfuse.nn.network import FusionNetwork, Network, knobs_of, streams_macs
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.router import InputRouter, Router, RouteRouter, StreamRouter
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.nn.stream import Stream, conv_stream, mlp_stream, transformer_stream
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.routing import GateRouter, SequentialRouter

#: Stream builder by `encoder` of a recipe. Called with the modality and the options of the encoder.
STREAMS: dict[str, Callable[..., Stream]] = {
    "mlp": mlp_stream,
    "conv": conv_stream,
    "transformer": transformer_stream,
}


def build_network(config: NetworkConfig, modalities: Sequence[Modality], task: Task) -> Network:
    """Returns a freshly initialised network: a `FusionNetwork`, or a `RoutedNetwork` where there is a router.

    Weights are drawn from torch's current generator; `nasfuse.train` seeds it around this call.

    Args:
        config: The network of a recipe.
        modalities: Of the data set; the route names some of them.
        task: Says how wide the head is.

    Raises:
        InvalidInputError: The route names no modality of the data, an encoder does not fit its kind, or a
            stride is longer than the input.
    """
    known = {modality.name: modality for modality in modalities}
    _fit_the_data(config, known)
    streams = {name: _stream(config, known[name], depth) for name, depth in config.depths.items()}
    if config.router is None:
        route = Route(config.stages(dict.fromkeys(config.route)), "+".join(config.route))
        return FusionNetwork(streams, _branch(config, route, task))
    routes = [Route(config.stages(parse_route(text)), text) for text in config.router.routes]
    lengths = {name: known[name].shape[0] for name in streams if known[name].kind == "sequence"}
    branches = [_branch(config, route, task) for route in routes]
    threshold = config.router.initial_threshold
    if isinstance(config.router, SequentialRouter):
        return SequentialNetwork(streams, branches, task=task.kind, lengths=lengths, threshold=threshold)
    branches = _by_cost(branches, streams, lengths)
    router = _router(config, config.router, branches, streams, known, task, lengths)
    return GatedNetwork(streams, branches, router, lengths=lengths, threshold=threshold)


def _fit_the_data(config: NetworkConfig, known: Mapping[str, Modality]) -> None:
    for name in config.route:
        if name not in known:
            raise InvalidInputError(f"network.route: the data has no modality {name!r}; {nearest(name, known)}")
        encoder = config.streams[name].encoder
        if encoder not in ENCODERS[known[name].kind]:
            raise InvalidInputError(
                f"network.streams.{name}.encoder: a {known[name].kind} cannot have encoder "
                f"{encoder!r}; {nearest(encoder, ENCODERS[known[name].kind])}"
            )


def _stream(config: NetworkConfig, modality: Modality, depth: int) -> Stream:
    stream = config.streams[modality.name]
    options = stream.model_dump(exclude={"encoder", "depth"})
    return STREAMS[stream.encoder](modality, depth=depth, **options)


def _branch(config: NetworkConfig, route: Route, task: Task) -> Branch:
    widths = {name: config.streams[name].width for name in route.n_stages}
    fusion = None
    (width, *_) = widths.values()
    if len(widths) > 1:
        assert config.fusion is not None, "checked by the recipe"
        deepest = max(config.streams[name].depth for name in widths)
        n_joint = max(deepest - config.fusion.placement, 0)
        options = config.fusion.model_dump(exclude={"kind", "placement"})
        fusion = FUSIONS[config.fusion.kind](widths, n_joint=n_joint, **options)
        width = fusion.out_width
    return Branch(route, fusion=fusion, head=Head(width, n_outputs=task.n_outputs, dropout=config.dropout))


def _by_cost(branches: Sequence[Branch], streams: Mapping[str, Stream], lengths: Mapping[str, int]) -> list[Branch]:
    """Returns the branches with those first whose streams, fusion and head cost least at full lengths."""

    def cost(branch: Branch) -> int:
        total, extents = streams_macs(streams, branch.route.n_stages, lengths)
        return total + branch.macs(extents)

    with knobs_as_trained(knobs_of(streams, branches)):
        return sorted(branches, key=cost)


def _router(
    config: NetworkConfig,
    router: GateRouter,
    branches: Sequence[Branch],
    streams: Mapping[str, Stream],
    known: Mapping[str, Modality],
    task: Task,
    lengths: Mapping[str, int],
) -> Router:
    options: dict[str, Any] = {"n_routes": len(branches), "form": router.form, "width": router.width}
    cheapest = branches[0]
    if router.reads == "cheap_route":
        return RouteRouter(cheapest.route.n_stages, cheapest.width, n_outputs=task.n_outputs, task=task.kind, **options)
    if router.reads == "inputs":
        return InputRouter([known[name] for name in config.route], **options)
    name = min(
        cheapest.route.n_stages,
        key=lambda one: streams[one].macs(lengths.get(one, 0), n_stages=cheapest.route.n_stages[one])[0],
    )
    on_grid = known[name].kind == "image" and config.streams[name].encoder != "mlp"
    return StreamRouter(name, streams[name].width, on_grid=on_grid, **options)
