"""Latency: median and interquartile range of the wall-clock time of a forward pass."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nasfuse.data.dataset import Batch
from nasfuse.nn.network import Network


@dataclass(frozen=True)
class Latency:
    """Latency of a forward pass.

    Attributes:
        median_s: Median in seconds.
        iqr_s: Interquartile range in seconds.
    """

    median_s: float
    iqr_s: float


def measure_latency(
    network: Network, batch: Batch, *, chosen: Tensor | None = None, n_warmup: int = 5, n_runs: int = 25
) -> Latency:
    """Returns the latency of `network` on `batch` in inference mode, measured in `n_runs` calls after `n_warmup` calls.

    Args:
        network: Network to measure; its mode (train or eval) is restored.
        batch: Input of every call.
        chosen: Routes of the samples, shape (b,), instead of the choice of a router.
        n_warmup: Calls before the measurement.
        n_runs: Measured calls.
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
                network(batch.inputs, batch.masks, present=batch.present, **forced)
                if on_cuda:
                    torch.cuda.synchronize()
                if run >= n_warmup:
                    times.append(time.perf_counter() - start)
    finally:
        network.train(was_training)
    low, median, high = np.percentile(times, [25, 50, 75])
    return Latency(float(median), float(high - low))
