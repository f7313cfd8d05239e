"""Construction of a network from the configuration of a recipe."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from nasfuse.domain.modality import ENCODERS, Modality, Task
from nasfuse.domain.route import parse_route
from nasfuse.errors import InvalidInputError, nearest
from nasfuse.nn.branch import Branch, Route
from nasfuse.nn.build_branches import BranchBuilder
from nasfuse.nn.ensemble import EnsembleNetwork
from nasfuse.nn.knob import knobs_as_trained
from nasfuse.nn.linear_stream import linear_stream
from nasfuse.nn.maxout import maxout_stream
from nasfuse.nn.network import FusionNetwork, Network, StreamNetwork, knobs_of
from nasfuse.nn.placeholder import Placeholder
from nasfuse.nn.places import places_macs
from nasfuse.nn.random_convolution import random_conv_stream
from nasfuse.nn.resnet import resnet_stream
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.routing.router import InputRouter, Router, RouteRouter, StreamRouter
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.nn.routing.stems_router import StemsRouter
from nasfuse.nn.sites.sites import Sites
from nasfuse.nn.stream import Stream, conv_stream, mlp_stream, transformer_stream
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.routing import GateRouter, RouterConfig, SequentialRouter
from nasfuse.spec.stream import LinearStream

#: Whether the training of a network, or of each member of an ensemble, drops modalities.
Drops = bool | tuple[bool, ...]

#: Stream builder by `encoder` of a recipe. Called with the modality and the options of the encoder.
STREAMS: dict[str, Callable[..., Stream]] = {
    "linear": linear_stream,
    "mlp": mlp_stream,
    "conv": conv_stream,
    "transformer": transformer_stream,
    "random_conv": random_conv_stream,
    "maxout": maxout_stream,
    "resnet": resnet_stream,
}


@overload
def build_network(
    config: NetworkConfig, modalities: Sequence[Modality], task: Task, *, drops: Drops = False
) -> StreamNetwork: ...


@overload
def build_network(
    config: NetworkConfig | tuple[NetworkConfig, ...],
    modalities: Sequence[Modality],
    task: Task,
    *,
    drops: Drops = False,
) -> Network: ...


def build_network(
    config: NetworkConfig | tuple[NetworkConfig, ...],
    modalities: Sequence[Modality],
    task: Task,
    *,
    drops: Drops = False,
) -> Network:
    """Returns a newly initialised network: a `RoutedNetwork` if `config` has a router, else a `FusionNetwork`.

    Weights are drawn from torch's current generator, which the caller seeds, as `nasfuse.train` does.

    Args:
        config: Configuration of the network, or those of the members of an ensemble.
        modalities: Modalities of the data set; the network reads those on its route.
        task: Kind of task and number of outputs.
        drops: Whether the training drops modalities (`Recipe.drops_modalities`). Every stream of a network with several
            streams then has a placeholder; otherwise those of modalities that samples of the data lack have one.

    Raises:
        InvalidInputError: The route has a stream that is not a modality of the data, an encoder does not support the
            kind of its modality, or a stride is longer than the input.
    """
    if isinstance(config, tuple):
        each = drops if isinstance(drops, tuple) else (drops,) * len(config)
        members = [_build_one(member, modalities, task, own) for member, own in zip(config, each, strict=True)]
        return EnsembleNetwork(members, task=task.kind)
    return _build_one(config, modalities, task, drops is True)


def _build_one(config: NetworkConfig, modalities: Sequence[Modality], task: Task, drops: bool) -> StreamNetwork:
    known = {modality.name: modality for modality in modalities}
    _fit_the_data(config, known)
    streams = {name: _stream(config, known[name], depth, task) for name, depth in config.depths.items()}
    for name, stream in streams.items():
        if known[name].can_be_absent or (drops and len(streams) > 1):
            stream.placeholder = Placeholder(stream.width_at(0))
    lengths = {name: known[name].shape[0] for name in streams if known[name].kind == "sequence"}
    builder = BranchBuilder(config, streams, task, lengths=lengths)
    if config.router is None:
        route = Route(config.stages(dict.fromkeys(config.route)), "+".join(config.route))
        return FusionNetwork(streams, builder.branch(route), sites=builder.sites)
    branches = [builder.branch(Route(config.stages(parse_route(text)), text)) for text in config.router.routes]
    options: dict[str, Any] = {
        "lengths": lengths,
        "threshold": config.router.initial_threshold,
        "sites": builder.sites,
    }
    if isinstance(config.router, SequentialRouter):
        return _always(SequentialNetwork(streams, branches, task=task.kind, **options), config.router)
    branches = _by_cost(branches, streams, lengths, builder.sites)
    router = _router(config, config.router, branches, streams, known, task, lengths)
    return _always(GatedNetwork(streams, branches, router, **options), config.router)


def _always(network: RoutedNetwork, config: RouterConfig) -> RoutedNetwork:
    """Sets the route that a recipe names for all samples, whose number depends on the costs of the routes."""
    network.always = None if config.always is None else network.route_names.index(config.always)
    return network


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


def _stream(config: NetworkConfig, modality: Modality, depth: int, task: Task) -> Stream:
    stream = config.streams[modality.name]
    options = stream.model_dump(exclude={"encoder", "depth"})
    if isinstance(stream, LinearStream):
        return STREAMS[stream.encoder](modality, width=config.linear_width or task.n_outputs, **options)
    return STREAMS[stream.encoder](modality, depth=depth, **options)


def _by_cost(
    branches: Sequence[Branch], streams: Mapping[str, Stream], lengths: Mapping[str, int], sites: Sites | None
) -> list[Branch]:
    """Returns the branches with those first whose streams, fusion and head cost least at full lengths."""

    def cost(branch: Branch) -> int:
        total, extents = places_macs(streams, branch.places, lengths, sites=sites)
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
        return RouteRouter(
            cheapest.route.n_stages, cheapest.packing, n_outputs=task.n_outputs, task=task.kind, **options
        )
    if router.reads == "stems":
        stems = {name: streams[name] for name in config.route}
        extents = {name: stem.macs(lengths.get(name, 0), n_stages=0)[1] for name, stem in stems.items()}
        return StemsRouter({name: stem.width_at(0) for name, stem in stems.items()}, extents, **options)
    if router.reads == "inputs":
        return InputRouter([known[name] for name in config.route], **options)
    name = min(
        cheapest.route.n_stages,
        key=lambda one: streams[one].macs(lengths.get(one, 0), n_stages=cheapest.route.n_stages[one])[0],
    )
    on_grid = streams[name].stem.extent(lengths.get(name, 0)).grid is not None
    return StreamRouter(name, streams[name].width_at(0), on_grid=on_grid, **options)
