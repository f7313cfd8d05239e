"""Latency: what is called, in which mode, and which statistics come back; never how fast this machine is."""

import pytest
import torch
from torch import nn

from nasfuse.cost import latency, measure_latency


class Recorder(nn.Module):
    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, inputs, masks, *, present):
        self.modes.append((self.training, torch.is_inference_mode_enabled()))


def test_it_runs_in_inference_mode_and_leaves_the_mode(make_batch):
    network = Recorder().train()
    measure_latency(network, make_batch(["v"]), n_warmup=2, n_runs=3)
    assert network.modes == [(False, True)] * 5
    assert network.training


def test_warm_up_is_not_measured(make_batch, monkeypatch):
    # The clock is read before every call and, where it is measured, after it: 2 calls unmeasured, then 1 to 5 s.
    ticks = iter([1.0, 2.0, *(tick for call in range(1, 6) for tick in (100.0 * call, 101.0 * call))])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    result = measure_latency(Recorder(), make_batch(["v"]), n_warmup=2, n_runs=5)
    assert result.median_s == pytest.approx(3.0)
    assert result.iqr_s == pytest.approx(2.0)


def test_the_mode_comes_back_after_a_failure(make_batch):
    class Broken(Recorder):
        def forward(self, inputs, masks, *, present):
            raise ArithmeticError("on purpose")

    network = Broken().train()
    with pytest.raises(ArithmeticError, match="on purpose"):
        measure_latency(network, make_batch(["v"]))
    assert network.training
