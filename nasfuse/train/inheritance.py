"""Donors: trained networks whose streams a training starts from."""

from collections.abc import Mapping
from pathlib import Path

from nasfuse.errors import DonorError, NasfuseError
from nasfuse.nn.network import Network
from nasfuse.train.checkpoint import load_checkpoint


def load_donors(network: Network, donors: Mapping[str, Path]) -> None:
    """Copies streams of trained networks into `network`.

    Args:
        network: Changed in place, all streams in `donors`.
        donors: Stream name to the checkpoint of a network with an equal stream.

    Raises:
        DonorError: A checkpoint is missing or damaged, or its stream is another one. Streams before it are copied.
    """
    for name, file in donors.items():
        try:
            network.load_stream(name, load_checkpoint(file)["network"])
        except (NasfuseError, KeyError, RuntimeError) as error:
            raise DonorError(f"stream {name} cannot start from the weights in {file}: {error}") from error
