"""Memory of data that concurrent trainings share, and time of epochs that are fed by batches of rows.

    python benchmarks/data_feeding.py memory --megabytes 1000 --processes 8
    python benchmarks/data_feeding.py epochs --rounds 9
    python benchmarks/data_feeding.py lengths --rounds 9

`memory` writes images of random bytes, loads and shares them as a search does, and trains a small network in every
process at the same time. The figure is the sum of the proportional set sizes of all processes (a page that k processes
map counts as a k-th in each) minus the sum with one megabyte of images, as a multiple of the size of the data.

`epochs` trains the same small network on `avmnist_rc` with batches of `Split.batch` and with those of a
`torch.utils.data.DataLoader` without workers, whose data set returns one standardised sample. Epochs of both alternate;
steps, order of samples and optimizer are equal. Feeding alone is timed, too. Ratios are medians over the rounds.

`lengths` trains a convolutional network on sequences of 8 to 256 steps, with batches of similar lengths as in a
training of nasfuse and with batches of random samples. Epochs of both alternate.
"""

import argparse
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from nasfuse.data import Batch, Split, load_dataset, load_table
from nasfuse.data.mapped_table import share_table
from nasfuse.experiment.objective import Training
from nasfuse.nn import build_network
from nasfuse.spec.recipe import Recipe
from nasfuse.train.batch_order import batches_of_epoch

SIDE, CHANNELS, BATCH = 64, 3, 64


def recipe_of(source: str, modalities: dict[str, str], **stream: Any) -> Recipe:
    """Returns a recipe of a small network for all modalities."""
    fusion = {"fusion": {"kind": "sum", "placement": 1}} if len(modalities) > 1 else {}
    return Recipe.parse(
        {
            "data": {"source": source, "modalities": modalities},
            "network": {
                "route": list(modalities),
                "streams": {name: {"encoder": "mlp", "depth": 1, "width": 8, **stream} for name in modalities},
                **fusion,
            },
            "training": {"epochs": 1, "batch_size": BATCH},
        }
    )


def proportional_set_size() -> int:
    """Returns the memory of this process in bytes, with shared pages divided among the processes that map them."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def train_and_measure(recipe: Recipe, folder: Path, number: int, barrier: Barrier, results: Any) -> None:
    """Trains in this process, and measures it while all others still hold what they trained with."""
    torch.set_num_threads(1)
    training = Training(shared_table=folder / "shared")
    training(recipe, seed=number, division=number % 2, folder=folder / str(number), report=ignore, weight_sources={})
    barrier.wait()
    results.put(proportional_set_size())
    barrier.wait()


def ignore(epoch: int, metric: float) -> None:
    """Takes the reports of a training."""


def used(megabytes: int, n_processes: int) -> tuple[int, int]:
    """Returns the bytes that all processes and this one use, and those of the data."""
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_samples = max(megabytes * 10**6 // (CHANNELS * SIDE * SIDE), 60)
        images = np.random.default_rng(0).integers(0, 256, (n_samples, CHANNELS, SIDE, SIDE), np.uint8)
        np.savez(folder / "images.npz", image=images, y=np.arange(n_samples) % 2)
        size = images.nbytes
        del images
        recipe = recipe_of(str(folder / "images.npz"), {"image": "image"})
        table = load_table(recipe.data)
        share_table(table, folder / "shared")
        barrier, results = spawning.Barrier(n_processes + 1), spawning.Queue()
        processes = [
            spawning.Process(target=train_and_measure, args=(recipe, folder, number, barrier, results))
            for number in range(n_processes)
        ]
        for process in processes:
            process.start()
        barrier.wait()
        total = sum(results.get() for _ in processes) + proportional_set_size()
        barrier.wait()
        for process in processes:
            process.join()
    return total, size


class Samples:
    """One sample at a time, as a user would write it."""

    def __init__(self, split: Split, names: tuple[str, ...]) -> None:
        """Keeps the standardised samples in memory."""
        everything = split.batch(torch.arange(len(split)), names=names)
        self._inputs, self._targets = everything.inputs, everything.targets

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self._targets)

    def __getitem__(self, row: int) -> tuple[dict[str, Tensor], Tensor]:
        """Returns one sample and its target."""
        return {name: values[row] for name, values in self._inputs.items()}, self._targets[row]


def epoch_s(network: nn.Module | None, batches: Iterable[Batch]) -> float:
    """Returns the seconds of one epoch; without a network, of its batches alone."""
    start = time.perf_counter()
    if network is not None:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for batch in batches:
        if network is not None:
            loss = F.cross_entropy(network(batch.inputs, batch.masks), batch.targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def compare_epochs(n_rounds: int) -> None:
    """Prints the seconds of epochs and their ratios."""
    recipe = recipe_of("avmnist_rc.npz", {"image": "image", "audio": "sequence"})
    dataset = load_dataset(recipe.data)
    names = tuple(modality.name for modality in dataset.modalities)
    split, samples = dataset.train, Samples(dataset.train, names)

    def by_rows() -> Iterable[Batch]:
        order = torch.randperm(len(split))
        return (split.batch(rows, names=names) for rows in torch.split(order, BATCH))

    def by_loader() -> Iterable[Batch]:
        loader = DataLoader(samples, batch_size=BATCH, shuffle=True)  # type: ignore[arg-type]
        return (Batch(inputs, {}, targets) for inputs, targets in loader)

    for what, has_network in (("feeding alone", False), ("training", True)):
        seconds: dict[str, list[float]] = {"rows": [], "loader": []}
        for _ in range(n_rounds + 1):
            for name, batches in (("rows", by_rows), ("loader", by_loader)):
                network = build_network(recipe.network, dataset.modalities, dataset.task) if has_network else None
                seconds[name].append(epoch_s(network, batches()))
        rows, loader = (values[1:] for values in seconds.values())
        ratios = sorted(b / a for a, b in zip(rows, loader, strict=True))
        print(
            f"{what}: {statistics.median(rows):.3f} s an epoch by rows, {statistics.median(loader):.3f} s by a "
            f"DataLoader, ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def compare_lengths(n_rounds: int) -> None:
    """Prints the seconds of epochs on sequences of many lengths, and their ratios."""
    generator = np.random.default_rng(0)
    n_samples, longest = 2000, 256
    arrays = {
        "series": generator.standard_normal((n_samples, longest, 8)).astype(np.float32),
        "series_length": np.exp(generator.uniform(np.log(8), np.log(longest), n_samples)).astype(np.int64),
        "y": np.arange(n_samples) % 2,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lengths.npz"
        np.savez(path, **arrays)
        series = {"series": {"kind": "sequence", "lengths": "series_length", "padding": "right"}}
        recipe = recipe_of(str(path), series, encoder="conv", width=32)
        dataset = load_dataset(recipe.data)
    split, order = dataset.train, torch.Generator().manual_seed(0)
    similar = {"batch_size": BATCH, "names": ("series",), "generator": order}

    def rows(*, bucketed: bool) -> Iterable[Tensor]:
        if bucketed:
            return batches_of_epoch(split, torch.arange(len(split)), **similar)  # type: ignore[arg-type]
        return torch.split(torch.randperm(len(split), generator=order), BATCH)

    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(n_rounds + 1):
        for bucketed, times in seconds.items():
            network = build_network(recipe.network, dataset.modalities, dataset.task)
            batches = (split.batch(chosen, names=("series",)) for chosen in rows(bucketed=bucketed))
            times.append(epoch_s(network, batches))
    ratios = sorted(b / a for a, b in zip(seconds[True][1:], seconds[False][1:], strict=True))
    print(
        f"{statistics.median(seconds[True][1:]):.3f} s an epoch with similar lengths, "
        f"{statistics.median(seconds[False][1:]):.3f} s with random samples, ratio {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    """Measures one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "epochs", "lengths"))
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "epochs":
        compare_epochs(options.rounds)
        return
    if options.what == "lengths":
        compare_lengths(options.rounds)
        return
    small, _ = used(1, options.processes)
    large, size = used(options.megabytes, options.processes)
    print(
        f"{options.processes} trainings on {size / 1e6:,.0f} MB of data use {(large - small) / 1e6:,.0f} MB more than "
        f"on 1 MB: {(large - small) / size:.2f} copies"
    )


if __name__ == "__main__":
    main()
