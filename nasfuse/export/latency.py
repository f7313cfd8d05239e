"""Latency of networks as they are deployed, beside that of eager PyTorch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasfuse.cost.latency import Latency, one_at_a_time, timed
from nasfuse.data import Split
from nasfuse.data.extras import required
from nasfuse.deployment import RawInputs
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.checkpoint_evaluation import samples_of_training
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.export.bundle import deployment_of
from nasfuse.nn import Network
from nasfuse.prediction import SavedNetwork
from nasfuse.runtime import Bundle, load

#: Samples that calls of one sample go through, which may take different routes and numbers of solver steps.
_N_SINGLE = 50

#: Calls before each measurement, and rounds, of which the least disturbed counts.
_N_WARMUP, _N_ROUNDS = 10, 5

Raw = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Timing:
    """Times of a call of a network, in seconds.

    Attributes:
        label: Label of the operating point, the name of the file, or that of a route of a bundle.
        macs: Expected multiply-accumulates per sample; None for one route of a bundle.
        batch: Samples of a call with many.
        threads: Threads of a call.
        deployed: Calls of one sample in onnxruntime, with the routing of `nasfuse.runtime`.
        deployed_batch: Calls of `batch` samples.
        eager: Calls of one sample in PyTorch; None for a bundle, which is without torch.
        eager_batch: Calls of `batch` samples.
    """

    label: str
    macs: int | None
    batch: int
    threads: int
    deployed: Latency
    deployed_batch: Latency
    eager: Latency | None
    eager_batch: Latency | None


def time_network(saved: SavedNetwork, *, label: str, macs: int, batch: int, threads: int, n_runs: int = 50) -> Timing:
    """Returns the times of a network on validation samples.

    Processes of this user measure one after another (`one_at_a_time`); what else runs on the machine disturbs.

    Args:
        saved: The network, on the CPU.
        label: Label of the result.
        macs: Multiply-accumulates of the network.
        batch: Samples of a call with many; the validation samples are repeated where there are fewer.
        threads: Threads of a call.
        n_runs: Calls in a round.

    Raises:
        MissingPackageError: The package onnx or onnxruntime is not installed.
        DataError: The data of the training cannot be read.
    """
    samples = _samples(saved)
    deployment = deployment_of(saved, samples)
    bundle = deployment.bundle(threads=threads)
    rows = torch.arange(max(batch, _N_SINGLE)) % len(samples)
    tensors = deployment.inputs.of_samples(samples, rows)
    raw = {name: one.numpy() for name, one in tensors.items()}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    options = {"n_warmup": _N_WARMUP, "n_runs": n_runs, "n_rounds": _N_ROUNDS}
    try:
        with one_at_a_time(), torch.inference_mode():
            return Timing(
                label=label,
                macs=macs,
                batch=batch,
                threads=threads,
                deployed=_time_bundle(bundle, _singles(raw), options),
                deployed_batch=_time_bundle(bundle, [_first(raw, batch)], options),
                eager=_time_network(saved.network, deployment.inputs, tensors, range(_N_SINGLE), 1, options),
                eager_batch=_time_network(saved.network, deployment.inputs, tensors, [0], batch, options),
            )
    finally:
        torch.set_num_threads(before)


def time_bundle(folder: Path, *, batch: int, threads: int, n_runs: int = 50) -> list[Timing]:
    """Returns the times of a bundle on random samples: of each route, or of the network if there is no router.

    The router runs, too, but its choice is not followed, since random samples are not those that it was trained for.

    Args:
        folder: Folder of `export --onnx`.
        batch: Samples of a call with many.
        threads: Threads of a call.
        n_runs: Calls in a round.

    Raises:
        CheckpointError: The bundle is damaged or has another format.
        MissingPackageError: The package onnxruntime is not installed.
    """
    required("onnxruntime", extra="onnx", purpose="calls of bundles")
    bundle = load(folder, threads=threads)
    router, figures = bundle.manifest["program"]["router"], bundle.manifest.get("figures", {})
    names = [folder.name] if router is None else router["routes"]
    raw = _random_inputs(bundle.manifest["program"]["inputs"], max(batch, _N_SINGLE))
    options = {"n_warmup": _N_WARMUP, "n_runs": n_runs, "n_rounds": _N_ROUNDS}
    found = []
    with one_at_a_time():
        for number, name in enumerate(names):
            chosen = None if router is None else number
            found.append(
                Timing(
                    label=name,
                    macs=figures.get("macs") if router is None else None,
                    batch=batch,
                    threads=threads,
                    deployed=_time_bundle(bundle, _singles(raw), options, chosen=chosen),
                    deployed_batch=_time_bundle(bundle, [_first(raw, batch)], options, chosen=chosen),
                    eager=None,
                    eager_batch=None,
                )
            )
    return found


def _random_inputs(inputs: Sequence[Mapping[str, Any]], n_samples: int) -> Raw:
    """Returns samples of full length that have all modalities."""
    rng = np.random.default_rng(0)
    found: Raw = {}
    for one in inputs:
        name, shape = one["name"], (n_samples, *one["shape"])
        if one["vocabulary"] is not None:
            found[name] = rng.integers(one["vocabulary"], size=shape)
        else:
            found[name] = rng.normal(size=shape).astype(one["dtype"])
        if one["masked"]:
            found[f"{name}.lengths"] = np.full(n_samples, one["shape"][0])
        if one["can_be_absent"]:
            found[f"{name}.present"] = np.ones(n_samples, bool)
    return found


def _samples(saved: SavedNetwork) -> Split:
    _, samples = samples_of_training(saved, "val")
    return samples if len(samples) else samples_of_training(saved, "train")[1]


def _singles(raw: Raw) -> list[Raw]:
    return [{name: one[row : row + 1] for name, one in raw.items()} for row in range(_N_SINGLE)]


def _first(raw: Raw, batch: int) -> Raw:
    return {name: one[:batch] for name, one in raw.items()}


def _time_bundle(
    bundle: Bundle, inputs: Sequence[Raw], options: dict[str, int], *, chosen: int | None = None
) -> Latency:
    routes = None if chosen is None else np.full(len(next(iter(inputs[0].values()))), chosen)
    return timed(lambda run: bundle.run(inputs[run % len(inputs)], routes), **options)


def _time_network(
    network: Network,
    inputs: RawInputs,
    tensors: dict[str, torch.Tensor],
    starts: Sequence[int] | range,
    size: int,
    options: dict[str, int],
) -> Latency:
    parts = [inputs({name: one[start : start + size] for name, one in tensors.items()}) for start in starts]

    def call(run: int) -> None:
        values, masks, present = parts[run % len(parts)]
        network(values, masks, present=present)

    network.eval()
    return timed(call, **options)


def rank_correlations(timings: Sequence[Timing]) -> dict[str, float] | None:
    """Returns Spearman's correlation of MACs with the median time of one sample, deployed and eager.

    None for fewer than three networks.

    Args:
        timings: Times of networks, with their MACs and both ways to run them.
    """
    from scipy.stats import spearmanr  # slow to import

    if len(timings) < 3:
        return None
    macs = [one.macs for one in timings]
    times = {
        "deployed": [one.deployed.median_s for one in timings],
        "eager": [one.eager.median_s for one in timings if one.eager is not None],
    }
    found = {name: spearmanr(macs, each).statistic for name, each in times.items()}
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def write_timings(folder: RunFolder, timings: Iterable[Timing]) -> None:
    """Writes `latency.json` into the folder of a run."""
    write_text(folder.latency_file, json.dumps([asdict(one) for one in timings], indent=1))
