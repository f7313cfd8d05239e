"""Inference over a split, batch by batch."""

from collections.abc import Callable
from typing import TypeVar

import torch

from nasfuse.data.dataset import Batch, Split
from nasfuse.nn.network import Network

Result = TypeVar("Result")

_ROWS = 512


def run_split(network: Network, split: Split, call: Callable[[Batch], Result], *, device: torch.device) -> list[Result]:
    """Returns the results of `call` for the batches of `split` in order, with `network` in inference mode.

    Args:
        network: On `device`; it is left in inference mode.
        split: All its samples are used.
        call: Gets a batch of the modalities of `network` on `device`; gradients are switched off.
        device: CPU or GPU.
    """
    network.eval()
    with torch.no_grad():
        return [
            call(split.batch(rows, names=network.stream_names).to(device))
            for rows in torch.split(torch.arange(len(split)), _ROWS)
        ]
