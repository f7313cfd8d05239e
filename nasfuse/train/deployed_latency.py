"""Latency of operating points as they are deployed: ONNX graphs, one sample at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasfuse.cost.latency import Latency, one_at_a_time, timed
from nasfuse.data.dataset import Dataset
from nasfuse.deployment import RawInput, RawInputs, deploy
from nasfuse.domain.knob import CHOICE_KNOBS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn.knob import settings_of
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork, listening_to_routes
from nasfuse.runtime.bundle import open_session
from nasfuse.runtime.program import Program

#: Validation samples that calls go through, which may take different numbers of solver steps.
_N_SAMPLES = 20

#: Validation samples whose routes are counted.
_N_ROUTED = 512

#: Calls before each measurement, calls in a round, and rounds, of which the least disturbed counts.
_N_WARMUP, _N_RUNS, _N_ROUNDS = 5, 25, 3


def with_deployed_latency(
    points: Sequence[OperatingPoint],
    network: Network,
    dataset: Dataset,
    *,
    set_to: Callable[[Network, Mapping[str, float]], None],
) -> tuple[OperatingPoint, ...]:
    """Returns the operating points with the latency of their graphs in onnxruntime.

    Calls have one sample and as many threads as torch has. The latency of a router is the mean of the medians of its
    routes, weighted by their shares of the validation samples.

    Args:
        points: Operating points of `network`.
        network: The network, on the CPU; it keeps its settings.
        dataset: Data of the training.
        set_to: Gives the network the settings of all knobs.

    Raises:
        MissingPackageError: The package onnx or onnxruntime is not installed.
    """
    own = settings_of(network.knobs())
    timer = _Timer(network, dataset)
    found = []
    try:
        for point in points:
            settings = {**own, **point.settings}
            set_to(network, settings)
            median, iqr = timer.latency({name: value for name, value in settings.items() if name not in CHOICE_KNOBS})
            found.append(replace(point, latency_s=median, latency_iqr_s=iqr))
    finally:
        set_to(network, own)
    return tuple(found)


@dataclass
class _Timer:
    """Times of the graphs of a network, each of which is traced once."""

    network: Network
    dataset: Dataset
    known: dict[Any, list[Latency]] = field(default_factory=dict)

    def latency(self, settings: Mapping[str, float]) -> tuple[float, float]:
        """Returns median and interquartile range at the present settings; `settings` has no `CHOICE_KNOBS`."""
        only = self.network.only_route() if isinstance(self.network, RoutedNetwork) else 0
        key = (tuple(sorted(settings.items())), only)
        if key not in self.known:
            self.known[key] = self._times()
        times = self.known[key]
        shares = [1.0] if only is not None else self._shares(len(times))
        pairs = list(zip(shares, times, strict=True))
        return sum(s * one.median_s for s, one in pairs), sum(s * one.iqr_s for s, one in pairs)

    def _times(self) -> list[Latency]:
        """Returns the latency of each route, or of the one that is taken."""
        inputs = RawInputs(_raw_inputs(self.network, self.dataset))
        deployed = deploy(self.network, inputs.inputs)
        threads = torch.get_num_threads()
        program = Program(
            deployed.program,
            lambda name: open_session(deployed.graphs[name], threads=threads),
            task=self.dataset.task.kind,
        )
        val = self.dataset.val
        rows = torch.arange(_N_SAMPLES) % len(val)
        raw = {name: one.numpy() for name, one in inputs.of_samples(val, rows).items()}
        calls = [{name: one[row : row + 1] for name, one in raw.items()} for row in range(_N_SAMPLES)]
        n_routes = 1 if program.router is None else len(program.router["routes"])
        options = {"n_warmup": _N_WARMUP, "n_runs": _N_RUNS, "n_rounds": _N_ROUNDS}
        with one_at_a_time():
            return [timed(_call(program, calls, np.array([route])), **options) for route in range(n_routes)]

    def _shares(self, n_routes: int) -> list[float]:
        """Returns the share of validation samples on each route."""
        val = self.dataset.val
        batch = val.batch(torch.arange(min(_N_ROUTED, len(val))), names=self.network.stream_names)
        self.network.eval()
        with torch.inference_mode(), listening_to_routes(self.network) as routes:
            self.network(batch.inputs, batch.masks, present=batch.present)
        counts = torch.bincount(routes[0], minlength=n_routes)
        shares: list[float] = (counts / counts.sum()).tolist()
        return shares


def _call(
    program: Program, calls: Sequence[dict[str, NDArray[Any]]], chosen: NDArray[np.int64]
) -> Callable[[int], object]:
    return lambda run: program.run(calls[run % len(calls)], chosen)


def _raw_inputs(network: Network, dataset: Dataset) -> list[RawInput]:
    found = []
    for modality in dataset.modalities:
        if modality.name in network.stream_names:
            column = dataset.val.columns[modality.name]
            found.append(
                RawInput(
                    modality,
                    has_lengths=modality.kind == "sequence" and column.lengths is not None,
                    can_be_absent=modality.can_be_absent or modality.name in network.placeholders,
                    unit=dataset.units.get(modality.name),
                    stored_scale=column.scale,
                )
            )
    return found
