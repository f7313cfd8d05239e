"""Schema of elastic networks: which fields of a network may shrink after training, and how it is trained for that."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import Field

from nasfuse.domain.knob import with_settings
from nasfuse.errors import listed, nearest
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.schema.fields import members_of, types_at
from nasfuse.spec.schema.model import MisfitError, Model

#: Smaller values of a field, in increasing order.
SmallerValues = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class ElasticTrainingConfig(Model):
    """Training of an elastic network by the sandwich rule (Yu and Huang, 2019).

    Every step trains the whole network, the smallest sub-network and some random ones. The sub-networks learn from the
    outputs of the whole network for the same samples (in-place distillation).

    Attributes:
        n_random: Random sub-networks of a step.
        distillation: Share s of the loss of a sub-network that is its distance to the outputs of the whole network; the
            rest is the loss of the training: s distance + (1 - s) loss. In the paper s is 1.
    """

    n_random: Annotated[int, Field(ge=0, le=16)] = 2
    distillation: Annotated[float, Field(ge=0, le=1)] = 0.5


def smaller_network(config: NetworkConfig, setting: Mapping[str, int]) -> NetworkConfig:
    """Returns the network in which fields have other values, by their dotted paths in a recipe.

    Raises:
        ConfigError: The values contradict one another.
    """
    changed = with_settings({"network": config.to_plain()}, setting)
    return NetworkConfig.parse(changed["network"], source="a smaller network")


def expanded(elastic: Mapping[str, Any], streams: Iterable[str]) -> dict[str, Any]:
    """Returns `elastic` with `*` in the place of a stream written out for all `streams`."""
    found: dict[str, Any] = {}
    for path, values in elastic.items():
        prefix = "network.streams.*."
        if path.startswith(prefix):
            found |= {f"network.streams.{name}.{path.removeprefix(prefix)}": values for name in streams}
        else:
            found[path] = values
    return found


def check_elastic(network: NetworkConfig, elastic: Mapping[str, Sequence[int]]) -> None:
    """Checks that fields of a network may shrink, to values that are smaller and in increasing order.

    Raises:
        MisfitError: A field may not, or a value is not smaller.
    """
    shrinkable = shrinkable_fields(network)
    for path, values in elastic.items():
        key = f"elastic.{path}"
        if path not in shrinkable:
            raise MisfitError(key, f"cannot shrink; {nearest(path, shrinkable)}")
        own = shrinkable[path]
        if not isinstance(own, int):
            raise MisfitError(key, "only one number can shrink, and the field has none; give it a number")
        if list(values) != sorted(set(values)) or values[-1] >= own:
            raise MisfitError(
                key, f"must be values below {own}, the network's own, in increasing order, got {list(values)}"
            )
    reason = why_not_elastic(network)
    if reason is not None:
        raise MisfitError("elastic", f"is not supported with {reason}; remove one of them")


def shrinkable_fields(network: NetworkConfig) -> dict[str, object]:
    """Returns the dotted paths of fields that may shrink, with their values."""
    found: dict[str, object] = {}
    for name, stream in network.streams.items():
        found |= {f"network.streams.{name}.{field}": getattr(stream, field) for field in stream.shrinkable}
    if network.fusion is not None:
        found |= {f"network.fusion.{field}": getattr(network.fusion, field) for field in network.fusion.shrinkable}
    return found


def misnamed(elastic: Mapping[str, Any], modalities: Iterable[str]) -> dict[str, str]:
    """Returns the keys of `elastic` that are no fields that may shrink in some network of these modalities, and why."""
    of_stream, of_fusion = _shrinkable_somewhere("streams.*"), _shrinkable_somewhere("fusion")
    known = [f"network.streams.*.{field}" for field in of_stream] + [f"network.fusion.{field}" for field in of_fusion]
    named = [f"network.streams.{name}.{field}" for name in modalities for field in of_stream]
    found = {}
    for path in set(elastic) - {*known, *named}:
        close = get_close_matches(path, [*known, *named], n=1)
        found[path] = f"cannot shrink; {f'did you mean {close[0]}?' if close else f'those that can: {listed(known)}'}"
    return found


def _shrinkable_somewhere(path: str) -> list[str]:
    kinds = [kind for one in types_at(NetworkConfig, path) for kind in members_of(one)]
    return sorted({field for kind in kinds for field in getattr(kind, "shrinkable", ())})


def why_not_elastic(network: NetworkConfig) -> str | None:
    """Returns the part of a network because of which nothing in it can be elastic; None if there is none."""
    if network.router is not None:
        return "network.router"
    if network.fusion is not None and network.fusion.kind == "equilibrium":
        return "network.fusion.kind equilibrium, whose parts need not have a fixed point"
    return None
