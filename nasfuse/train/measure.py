"""Measuring a trained network: its operating points."""

import torch

from nasfuse.config.measurement import OperatingPoint
from nasfuse.cost import activation_bytes, count_parameters, expected_macs, measure_latency
from nasfuse.data.dataset import Dataset
from nasfuse.train.loop import Trained

_MEMORY_ROWS = 8


def measure(trained: Trained, dataset: Dataset, *, device: torch.device) -> tuple[OperatingPoint, ...]:
    """Returns the operating points of a trained network on validation data: one, as it has no knobs."""
    network = trained.network
    names = tuple(network.route.n_stages)
    one = dataset.val.batch(torch.arange(1), names=names).to(device)
    few = dataset.val.batch(torch.arange(min(_MEMORY_ROWS, len(dataset.val))), names=names).to(device)
    latency = measure_latency(network, one)
    point = OperatingPoint(
        metric=trained.chosen.val_metric,
        macs=expected_macs(network, dataset),
        params=count_parameters(network),
        latency_s=latency.median_s,
        latency_iqr_s=latency.iqr_s,
        peak_bytes=round(activation_bytes(network, few)),
    )
    return (point,)
