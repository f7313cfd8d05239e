"""Inheritance: the start of a training from streams of trained networks."""

from collections.abc import Mapping
from pathlib import Path

from nasfuse.errors import InheritanceError, NasfuseError
from nasfuse.nn.network import StreamNetwork
from nasfuse.train.checkpoint import load_checkpoint


def inherit_streams(network: StreamNetwork, weight_sources: Mapping[str, Path]) -> None:
    """Copies streams of trained networks into `network`.

    Args:
        network: StreamNetwork that is changed in place: all streams in `weight_sources`.
        weight_sources: Checkpoint of a network with an equal stream, by stream name.

    Raises:
        InheritanceError: A checkpoint is missing or damaged, or its stream differs. Streams before it are copied.
    """
    for name, file in weight_sources.items():
        try:
            network.load_stream(name, load_checkpoint(file)["network"])
        except (NasfuseError, KeyError, RuntimeError) as error:
            raise InheritanceError(f"stream {name} cannot start from the weights in {file}: {error}") from error
