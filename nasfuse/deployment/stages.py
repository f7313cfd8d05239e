"""Stages of a deployed network: what is computed together, and for which samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from nasfuse.nn.branch import Branch
from nasfuse.nn.network import Network
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.nn.states import StreamStates

Tensors = Mapping[str, Tensor]

#: Name of the logits of a router.
GATE = "gate"


def output_of(route: int) -> str:
    """Returns the name of the outputs of a route."""
    return f"output.{route}"


@dataclass(frozen=True)
class Stage:
    """Results that are computed together.

    Attributes:
        name: Name of the stage in file names.
        results: Names of its results.
        after: Numbers of the stages that have run before for the same samples.
    """

    name: str
    results: tuple[str, ...]
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The stages of a network.

    Attributes:
        stages: Stages, in the order in which they run.
        compute: Returns all results and, by other names, the states that later stages may read; takes inputs, masks and
            presence.
        stage_of_route: Number of the stage with the outputs of each route.
    """

    stages: tuple[Stage, ...]
    compute: Callable[[Tensors, Tensors, Tensors], dict[str, Tensor]] = field(repr=False)
    stage_of_route: tuple[int, ...] = (0,)


def layout_of(network: Network) -> Layout:
    """Returns the stages of a network: one, or those of its routes and of its router."""
    if not isinstance(network, RoutedNetwork):
        return Layout((Stage("network", (output_of(0),)),), _whole(network))
    only = network.only_route()
    if only is not None:
        return Layout((Stage("network", (output_of(0),)),), _one_route(network, only))
    if isinstance(network, SequentialNetwork):
        return _sequential(network)
    assert isinstance(network, GatedNetwork), "the two kinds of routed networks"
    return _gated(network)


def _whole(network: Network) -> Callable[[Tensors, Tensors, Tensors], dict[str, Tensor]]:
    return lambda inputs, masks, present: {output_of(0): network(inputs, masks, present=present)}


def _one_route(network: RoutedNetwork, number: int) -> Callable[[Tensors, Tensors, Tensors], dict[str, Tensor]]:
    branch = _branches(network)[number]
    return lambda inputs, masks, present: {output_of(0): branch(network.states(inputs, masks, present))}


def _sequential(network: SequentialNetwork) -> Layout:
    branches = _branches(network)
    stages = tuple(
        Stage(f"route{number}", (output_of(number),), after=tuple(range(number))) for number in range(len(branches))
    )

    def compute(inputs: Tensors, masks: Tensors, present: Tensors) -> dict[str, Tensor]:
        states = network.states(inputs, masks, present)
        found = {output_of(number): branch(states) for number, branch in enumerate(branches)}
        return {**found, **_named(states)}

    return Layout(stages, compute, tuple(range(len(branches))))


def _gated(network: GatedNetwork) -> Layout:
    branches = _branches(network)
    runs_cheap_route = network.router.runs_cheap_route
    first = (GATE, output_of(0)) if runs_cheap_route else (GATE,)
    left = range(1 if runs_cheap_route else 0, len(branches))
    stages = (Stage("choice", first), *(Stage(f"route{number}", (output_of(number),), after=(0,)) for number in left))

    def compute(inputs: Tensors, masks: Tensors, present: Tensors) -> dict[str, Tensor]:
        states = network.states(inputs, masks, present)
        gate, cheap = network.gate(inputs, masks, states)
        found = {GATE: gate} if cheap is None else {GATE: gate, output_of(0): cheap}
        found |= {output_of(number): branches[number](states) for number in left}
        return {**found, **_named(states)}

    offset = 0 if runs_cheap_route else 1
    return Layout(stages, compute, tuple(number + offset for number in range(len(branches))))


def _branches(network: RoutedNetwork) -> list[Branch]:
    return list(network.branches)  # type: ignore[arg-type]


def _named(states: StreamStates) -> dict[str, Tensor]:
    """Returns the tensors of the states that have been cached; samples are their first axis."""
    found: dict[str, Tensor] = {}
    for place, tokens in states.cached().items():
        parts = {"values": tokens.values, "mask": tokens.mask, "cls": tokens.cls, "sizes": tokens.sizes}
        name = f"state.{place.line.name}.{place.n_stages}"
        found |= {f"{name}.{part}": one for part, one in parts.items() if one is not None}
    return found
