"""Latency: median and interquartile range of the wall-clock time of a forward pass."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
        mean_s: Mean in seconds, which for calls of different costs is what a stream of samples takes.
    """

    median_s: float
    iqr_s: float
    mean_s: float


def timed(call: Callable[[int], object], *, n_warmup: int, n_runs: int, n_rounds: int = 1) -> Latency:
    """Returns the latency of `call`, which gets the number of the call from 0.

    Args:
        call: What is timed.
        n_warmup: Calls before the measurement.
        n_runs: Measured calls in a round.
        n_rounds: Rounds, of which the one with the smallest mean counts, as others were disturbed by other processes.
    """
    for run in range(n_warmup):
        call(run)
    rounds = []
    for _ in range(n_rounds):
        times = []
        for run in range(n_runs):
            start = time.perf_counter()
            call(run)
            times.append(time.perf_counter() - start)
        rounds.append(times)
    best = min(rounds, key=sum)
    low, median, high = np.percentile(best, [25, 50, 75])
    return Latency(float(median), float(high - low), float(np.mean(best)))


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

    def call(_: int) -> None:
        network(batch.inputs, batch.masks, present=batch.present, **forced)
        if on_cuda:
            torch.cuda.synchronize()

    try:
        with torch.inference_mode():
            return timed(call, n_warmup=n_warmup, n_runs=n_runs)
    finally:
        network.train(was_training)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Waits until no other process of this user on this machine is inside such a block."""
    path = Path(tempfile.gettempdir()) / f"nasfuse-latency-{os.getuid()}.lock"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
