"""Latency: what is called, in which mode, and which statistics come back; never how fast this machine is."""

import fcntl

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
    # The clock is read before and after every measured call: 1 to 5 s.
    ticks = iter([tick for call in range(1, 6) for tick in (100.0 * call, 101.0 * call)])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    result = measure_latency(Recorder(), make_batch(["v"]), n_warmup=2, n_runs=5)
    assert result.median_s == pytest.approx(3.0)
    assert result.iqr_s == pytest.approx(2.0)
    assert result.mean_s == pytest.approx(3.0)


def test_the_least_disturbed_round_counts(monkeypatch):
    durations = [5.0, 9.0, 2.0, 4.0, 6.0, 6.0]  # three rounds of two calls
    ticks = iter([tick for start, one in enumerate(durations) for tick in (100.0 * start, 100.0 * start + one)])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    calls = []
    result = latency.timed(calls.append, n_warmup=1, n_runs=2, n_rounds=3)
    assert result.median_s == result.mean_s == pytest.approx(3.0)
    assert calls == [0, 0, 1, 0, 1, 0, 1]


def test_one_process_at_a_time_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(latency.tempfile, "gettempdir", lambda: str(tmp_path))
    with latency.one_at_a_time():
        (file,) = tmp_path.iterdir()
        with file.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with file.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_mode_comes_back_after_a_failure(make_batch):
    class Broken(Recorder):
        def forward(self, inputs, masks, *, present):
            raise ArithmeticError("on purpose")

    network = Broken().train()
    with pytest.raises(ArithmeticError, match="on purpose"):
        measure_latency(network, make_batch(["v"]))
    assert network.training
