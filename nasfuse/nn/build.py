"""From a recipe to a network: the one place where configuration objects end."""

from collections.abc import Callable, Sequence
from typing import Any

from nasfuse.config.modality import ENCODERS, Modality, Task
from nasfuse.config.recipe import NetworkConfig
from nasfuse.errors import InvalidInputError, nearest
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.network import FusionNetwork, Head
from nasfuse.nn.route import Route
from nasfuse.nn.stream import Stream, conv_stream, mlp_stream, transformer_stream

#: Stream builder by `encoder` of a recipe. Called with the modality and the options of the encoder.
STREAMS: dict[str, Callable[..., Stream]] = {
    "mlp": mlp_stream,
    "conv": conv_stream,
    "transformer": transformer_stream,
}


def build_network(config: NetworkConfig, modalities: Sequence[Modality], task: Task) -> FusionNetwork:
    """Returns a freshly initialised network.

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
    fusion_config = config.fusion
    streams: dict[str, Stream] = {}
    n_stages: dict[str, int] = {}
    for name in config.route:
        if name not in known:
            raise InvalidInputError(f"network.route: the data has no modality {name!r}; {nearest(name, known)}")
        stream = config.streams[name]
        if stream.encoder not in ENCODERS[known[name].kind]:
            raise InvalidInputError(
                f"network.streams.{name}.encoder: a {known[name].kind} cannot have encoder "
                f"{stream.encoder!r}; {nearest(stream.encoder, ENCODERS[known[name].kind])}"
            )
        depth = stream.depth if fusion_config is None else min(fusion_config.placement, stream.depth)
        n_stages[name] = depth
        options = _options(stream.model_dump(exclude={"encoder", "depth"}))
        streams[name] = STREAMS[stream.encoder](known[name], depth=depth, **options)
    widths = {name: stream.width for name, stream in streams.items()}
    fusion = None
    if fusion_config is not None:
        deepest = max(config.streams[name].depth for name in config.route)
        n_joint = max(deepest - fusion_config.placement, 0)
        options = fusion_config.model_dump(exclude={"kind", "placement"})
        fusion = FUSIONS[fusion_config.kind](widths, n_joint=n_joint, **options)
    width = fusion.out_width if fusion is not None else widths[config.route[0]]
    head = Head(width, n_outputs=task.n_outputs, dropout=config.dropout)
    return FusionNetwork(streams, route=Route(n_stages), fusion=fusion, head=head)


def _options(plain: dict[str, Any]) -> dict[str, Any]:
    """Returns stream options as plain arguments: a reducer becomes (kind, keep_ratio)."""
    if "reducer" in plain:
        plain["reducer"] = (plain["reducer"]["kind"], plain["reducer"]["keep_ratio"])
    return plain
