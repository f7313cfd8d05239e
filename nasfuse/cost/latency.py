"""Latency: wall-clock time of a forward pass, as median and interquartile range."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nasfuse.data.dataset import Batch
from nasfuse.nn.network import Network


@dataclass(frozen=True)
class Latency:
    """Seconds per call.

    Attributes:
        median_s: Median over the runs.
        iqr_s: Distance between the first and the third quartile.
    """

    median_s: float
    iqr_s: float


def measure_latency(
    network: Network, batch: Batch, *, chosen: Tensor | None = None, n_warmup: int = 5, n_runs: int = 25
) -> Latency:
    """Returns the time of `network` on `batch` in inference mode, after `n_warmup` calls.

    `chosen` (b,) gives the routes of a routed network's samples in the place of its router's choice.
    """
    forced = {} if chosen is None else {"chosen": chosen}
    was_training = network.training
    network.eval()
    on_cuda = next(iter(batch.inputs.values())).is_cuda
    times = []
    try:
        with torch.inference_mode():
            for run in range(n_warmup + n_runs):
                start = time.perf_counter()
                network(batch.inputs, batch.masks, **forced)
                if on_cuda:
                    torch.cuda.synchronize()
                if run >= n_warmup:
                    times.append(time.perf_counter() - start)
    finally:
        network.train(was_training)
    low, median, high = np.percentile(times, [25, 50, 75])
    return Latency(float(median), float(high - low))
