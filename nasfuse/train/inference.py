"""Inference over a split, batch by batch."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Split
from nasfuse.nn.network import Network

Result = TypeVar("Result")

#: Samples of a batch at most, and pixels of its largest images or label maps at most, but at least one sample.
_ROWS, _PIXELS = 512, 2**19


def batches_in_order(split: Split, *, names: Iterable[str]) -> tuple[Tensor, ...]:
    """Returns the rows of the batches in which a network is run over a split, in order.

    Args:
        split: All its samples are used.
        names: Modalities that the network reads.
    """
    images = [split.columns[name].values for name in names if split.columns[name].values.dim() == 4]
    maps = [*images, *([split.targets] if split.targets.dim() == 3 else [])]
    n_pixels = max((one.shape[-2] * one.shape[-1] for one in maps), default=1)
    return torch.split(torch.arange(len(split)), min(_ROWS, max(_PIXELS // n_pixels, 1)))


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
            for rows in batches_in_order(split, names=network.stream_names)
        ]
