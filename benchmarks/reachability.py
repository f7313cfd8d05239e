"""Does iteration pay where information has to travel? Reachability in mazes, with equal MACs and equal parameters.

Two modalities: a maze, and an image of two marks; are they connected? Networks are trained on mazes of
11 x 11 places and tried on others of this size, by length of the path, and of 17 x 17 places. Compared are the fixed
point of a mixing cell, trained with a random number of steps from a random start or with reversible steps, the same
cell as a weight-tied network of 1, 4 and 16 steps, and networks of 4 and 16 cells without shared weights, as wide
(equal MACs) and as narrow that they have the parameters of one cell.

    python benchmarks/reachability.py --out reachability --seeds 5
    python benchmarks/reachability.py --out reachability --memory    # what a training step keeps, by number of steps

An interrupted run can be continued: trainings in the file are not repeated.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mazes import draw_samples
from torch import Tensor

from nasfuse.cost import activation_bytes
from nasfuse.data import Dataset, Split, load_dataset
from nasfuse.nn import build_network
from nasfuse.nn.equilibrium import equilibrium_layers, listening
from nasfuse.nn.network import Network
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import measured_macs, train_network

CPU = torch.device("cpu")
TIED = {"gradient": "unroll"}

#: Fusion options of each network and its width, as a share of that of the cell.
HEADS: dict[str, tuple[dict[str, Any], float]] = {
    "equilibrium": ({"gradient": "random_steps", "start": "random", "solver": "picard", "tolerance": 0.01}, 1),
    "reversible": ({"gradient": "reversible", "solver": "picard", "tolerance": 0.01}, 1),
    "tied K=1": ({**TIED, "max_steps": 1}, 1),
    "tied K=4": ({**TIED, "max_steps": 4}, 1),
    "tied K=16": ({**TIED, "max_steps": 16}, 1),
    "untied 4": ({**TIED, "max_steps": 4, "tied": False}, 1),
    "untied 16": ({**TIED, "max_steps": 16, "tied": False}, 1),
    "untied 4, parameters of one cell": ({**TIED, "max_steps": 4, "tied": False}, 1 / 2),
    "untied 16, parameters of one cell": ({**TIED, "max_steps": 16, "tied": False}, 1 / 4),
}

#: Lengths of paths that are reported together.
BINS = [(2, 4), (6, 8), (10, 14), (16, 99)]

#: Caps of the anytime curve.
CAPS = (1, 2, 4, 8, 16, 32)


def recipe_of(head: str, source: Path, options: argparse.Namespace) -> Recipe:
    """Returns the recipe of a network, trained on the mazes in `source`."""
    fusion, share = HEADS[head]
    width = round(options.width * share)
    streams = {
        "map": {"encoder": "conv", "depth": 0, "width": width, "stride": options.stride},
        "marks": {"encoder": "conv", "depth": 0, "width": width, "stride": options.stride},
    }
    mixing = {"kind": "equilibrium", "cell": "mixing", "width": width, "placement": 0, "max_steps": 16, **fusion}
    training = {"epochs": options.epochs, "patience": options.epochs, "batch_size": 32, "lr": options.lr}
    return Recipe.parse(
        {
            "data": {"source": str(source), "modalities": {"map": "image", "marks": "image"}},
            "network": {"route": ["map", "marks"], "streams": streams, "fusion": mixing},
            "training": {**training, "equilibrium": {"jacobian_weight": 0.0}},
        }
    )


def write_mazes(folder: Path, n_train: int, n_test: int) -> dict[int, tuple[Path, Tensor]]:
    """Writes mazes of 11 x 11 and 17 x 17 places; returns file and lengths of the paths of test by size."""
    found = {}
    for size, n_rooms, sizes in ((11, 5, (n_train, 1000, n_test)), (17, 8, (20, 20, n_test))):
        parts = [
            draw_samples(n, n_rooms, seed=derive_seed(size, name, n), favour_short=name != "test")
            for name, n in zip(("train", "val", "test"), sizes, strict=True)
        ]
        split = np.repeat(["train", "val", "test"], sizes)
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in ("map", "marks", "y")}
        path = folder / f"mazes{size}_{n_train}.npz"
        if not path.exists():
            np.savez_compressed(path, **arrays, split=split)
        found[size] = path, torch.tensor(parts[2]["length"])
    return found


def for_size(network: Network, recipe: Recipe, dataset: Dataset) -> Network:
    """Returns `network` for images of the size of `dataset`; learned positions are replaced by their mean."""
    other = build_network(recipe.network, dataset.modalities, dataset.task)
    expected, state = other.state_dict(), network.state_dict()
    for name, values in state.items():
        if values.shape != expected[name].shape:
            state[name] = values.mean(dim=1, keepdim=True).expand_as(expected[name])
    other.load_state_dict(state)
    return other.eval()


@torch.no_grad()
def tried(network: Network, split: Split, lengths: Tensor) -> dict[str, Any]:
    """Returns the accuracy on all samples and by length of the path, and the mean number of steps."""
    correct, steps = [], []
    for rows in torch.arange(len(split)).split(250):
        batch = split.batch(rows, names=network.stream_names)
        with listening(equilibrium_layers(network)) as solves:
            correct.append(network(batch.inputs, batch.masks).argmax(dim=1) == batch.targets)
        steps += [solve.solution.n_steps.double() for solve in solves]
    right = torch.cat(correct).double()
    chosen = {f"{low}-{high}": (lengths >= low) & (lengths <= high) for low, high in BINS}
    return {
        "all": float(right.mean()),
        **{name: float(right[rows].mean()) for name, rows in chosen.items() if rows.any()},
        "steps": float(torch.cat(steps).mean()) if steps else None,
    }


def train_once(head: str, seed: int, mazes: dict[int, tuple[Path, Tensor]], options: argparse.Namespace) -> dict:
    """Returns what a training of `head` gives: accuracies by size (of an equilibrium also by cap) and costs."""
    recipe = recipe_of(head, mazes[11][0], options)
    dataset = load_dataset(recipe.data)
    start = time.process_time()
    trained = train_network(recipe, dataset, seed=derive_seed(seed, "reachability"), device=CPU)
    network = trained.network
    row = {
        "head": head,
        "seed": seed,
        "seconds": round(time.process_time() - start, 1),
        "train_loss": trained.curve[-1].train_loss,
        "macs": measured_macs(network, dataset.val, dataset, device=CPU),
        "params": sum(p.numel() for p in network.parameters()),
        "11": tried(network, dataset.test, mazes[11][1]),
    }
    other = recipe.data.model_copy(update={"source": str(mazes[17][0])})
    larger = load_dataset(other, scales=dataset.scales)
    network17 = for_size(network, recipe, larger)
    row["17"] = tried(network17, larger.test, mazes[17][1])
    if recipe.network.fusion.gradient != "unroll":  # type: ignore[union-attr]
        for cap in CAPS:
            for name, one, part in (("11", network, dataset.test), ("17", network17, larger.test)):
                (layer,) = equilibrium_layers(one)
                rule = layer.inference_rule
                layer.inference_rule = replace(rule, max_steps=cap)
                row[f"{name} at {cap}"] = tried(one, part, mazes[int(name)][1])
                layer.inference_rule = rule
    return row


def memory(mazes: dict[int, tuple[Path, Tensor]], options: argparse.Namespace) -> None:
    """Prints the activation memory of a training step per sample, by gradient and number of steps."""
    base = recipe_of("equilibrium", mazes[11][0], options)
    dataset = load_dataset(base.data)
    batch = dataset.train.batch(torch.arange(64), names=("map", "marks"))
    print("gradient | steps | KiB per sample")
    for gradient in ("unroll", "random_steps", "reversible", "implicit"):
        for n_steps in (4, 16, 32):
            plain = base.to_plain()
            plain["network"]["fusion"] |= {"gradient": gradient, "max_steps": n_steps, "start": "inputs"}
            torch.manual_seed(0)
            network = build_network(Recipe.parse(plain).network, dataset.modalities, dataset.task)
            print(f"{gradient} | {n_steps} | {activation_bytes(network, batch) / 1024:.0f}", flush=True)


def cell_of(values: list[float]) -> str:
    """Returns mean and standard deviation."""
    spread = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def table(rows: list[dict[str, Any]]) -> None:
    """Prints a line for each network and size, and the anytime curve."""
    names = [f"{low}-{high}" for low, high in BINS]
    print(" | ".join(["network", "MACs", "params", "train s", "size", "all", *names, "steps"]))
    for head in dict.fromkeys(row["head"] for row in rows):
        same = [row for row in rows if row["head"] == head]
        for size in [key for key in same[0] if key[:2] in ("11", "17")]:
            macs, seconds = (statistics.fmean(row[key] for row in same) for key in ("macs", "seconds"))
            cells = [head, f"{macs:,.0f}", f"{same[0]['params']:,}", f"{seconds:.0f}", size]
            cells += [cell_of([row[size][name] for row in same]) for name in ("all", *names)]
            steps = [row[size]["steps"] for row in same if row[size]["steps"] is not None]
            print(" | ".join([*cells, f"{statistics.fmean(steps):.1f}" if steps else ""]), flush=True)


def main() -> None:
    """Reads the options, trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the mazes and the results")
    parser.add_argument("--memory", action="store_true", help="print the memory of training steps instead")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--train", type=int, default=24_000, help="number of training samples")
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--stride", type=int, default=2, help="2: one token per room")
    parser.add_argument("--lr", type=float, default=5e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    mazes = write_mazes(options.out, options.train, options.test)
    if options.memory:
        memory(mazes, options)
        return
    setting = {key: getattr(options, key) for key in ("train", "test", "epochs", "width", "stride", "lr")}
    path = options.out / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for seed in range(options.seeds):
        for head in options.heads:
            wanted = {"head": head, "seed": seed, "setting": setting}
            if not any(all(row[key] == value for key, value in wanted.items()) for row in rows):
                rows.append({**train_once(head, seed, mazes, options), "setting": setting})
                with path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    table([row for row in rows if row["setting"] == setting and row["head"] in options.heads])


if __name__ == "__main__":
    main()
