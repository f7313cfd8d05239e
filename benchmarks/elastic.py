"""One elastic training against separate trainings of networks of the same space.

For each data set and seed, one elastic network is trained, whose sub-networks are its front, and 30 networks of the
same space are trained alone: the whole, the smallest, and random ones evenly spread over the MACs. All networks are
measured on validation data, which chooses the fronts; the fronts are then evaluated on test. Wall clock and time of the
processor, of one thread, include the search over sub-networks and all measurements. An elastic training has more
epochs, since its steps are shared by many networks. `--fine-tune` trains the members of the elastic front further, from
their weights, for a few epochs.

    python benchmarks/elastic.py digits avdigits hapt --seeds 3
    python benchmarks/elastic.py --table

Results are rows of `runs/elastic/<set>.jsonl`, so an interrupted run of this script continues; `--table` prints them.
"""

import argparse
import json
import math
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasfuse.cost import expected_macs
from nasfuse.data import Dataset
from nasfuse.domain.metric import METRICS
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.nn.elastic import Setting, SubNetworks
from nasfuse.pareto import hypervolume, non_dominated
from nasfuse.prediction import read_network
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, train_network
from nasfuse.train.initial_weights import InitialWeights

RUNS = Path(__file__).parents[1] / "runs/elastic"
CPU = torch.device("cpu")

#: Networks that are trained alone.
N_ALONE = 30

#: Epochs of an elastic training, and of fine-tuning, for each of a training alone.
ELASTIC_EPOCHS, FINE_TUNED_EPOCHS = 2.5, 0.25

ELASTIC = {
    "network.streams.*.width": [8, 16, 24],
    "network.streams.*.depth": [1, 2],
    "network.fusion.width": [8, 16],
}

#: By data set: metric, description of the data, options of the streams, epochs of a training alone.
SETS: dict[str, dict[str, Any]] = {
    "digits": {
        "metric": "accuracy",
        "data": {"source": "digits"},
        "streams": {"left": {}, "right": {}},
        "epochs": 12,
    },
    "avdigits": {
        "metric": "accuracy",
        "data": {
            "source": "avdigits.npz",
            "modalities": {"image": "image", "audio": "sequence"},
            "group": "digit_idx",
        },
        "streams": {"image": {}, "audio": {"stride": 2}},
        "epochs": 12,
    },
    "hapt": {
        "metric": "macro_f1",
        "data": {"source": "hapt.npz", "modalities": {"acc": "sequence", "gyro": "sequence"}, "group": "user"},
        "streams": {"acc": {"stride": 4}, "gyro": {"stride": 4}},
        "epochs": 10,
    },
}


class _Clock:
    """Wall clock and time of the processor since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def spent(self) -> tuple[float, float]:
        """Returns both in seconds."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def recipe_of(name: str) -> Recipe:
    """Returns the elastic recipe of a data set."""
    one = SETS[name]
    streams = {stream: {"encoder": "conv", "width": 32, "depth": 3, **own} for stream, own in one["streams"].items()}
    epochs = round(ELASTIC_EPOCHS * one["epochs"])
    training = {"epochs": epochs, "patience": epochs, "lr": 0.01, "input_noise": 0.2, "label_smoothing": 0.1}
    return Recipe.parse(
        {
            "metric": one["metric"],
            "data": one["data"],
            "network": {
                "route": list(streams),
                "streams": streams,
                "fusion": {"kind": "concat", "width": 32, "placement": 3},
            },
            "training": {**training, "weight_decay": 0.05},
            "elastic": ELASTIC,
        }
    )


def alone(recipe: Recipe, setting: Setting, epochs: float) -> Recipe:
    """Returns the recipe of a sub-network that is trained alone for `epochs`."""
    plain = recipe.smaller(setting).to_plain()
    plain["training"] |= {"epochs": round(epochs), "patience": round(epochs)}
    return Recipe.parse(plain)


def settings_alone(recipe: Recipe, dataset: Dataset, *, seed: int) -> list[Setting]:
    """Returns the settings of the networks that are trained alone."""
    parts = SubNetworks(recipe.network, recipe.elastic, dataset.modalities, dataset.task, drops=False)
    generator = torch.Generator().manual_seed(derive_seed(seed, "networks alone"))
    drawn = {tuple(sorted(one.items())): one for one in (parts.draw(generator) for _ in range(4 * N_ALONE))}
    fresh = [one for one in drawn.values() if one not in ({}, parts.smallest)]
    fresh.sort(key=lambda one: expected_macs(parts.at(one).network, dataset))
    places = np.linspace(0, len(fresh) - 1, N_ALONE - 2).round().astype(int)
    return [{}, parts.smallest, *(fresh[place] for place in places)]


def rows_of(name: str, *, seed: int, done: set[tuple[Any, ...]], fine_tune: bool) -> Iterator[dict[str, Any]]:
    """Yields the rows of a data set and a seed that are not done."""
    recipe, folder = recipe_of(name), RUNS / f"{name}{seed}"
    dataset = cached_dataset(recipe.data.model_dump_json(), seed)
    file, epochs = folder / "model.pt", SETS[name]["epochs"]

    def row(kind: str, number: int, point: Any, spent: tuple[float, float], network: Any) -> dict[str, Any]:
        test, _ = evaluate(network, dataset.test, metric=recipe.metric, task=dataset.task, device=CPU)
        wall_s, cpu_s = spent
        found = {"kind": kind, "seed": seed, "number": number, "wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)}
        return {**found, "setting": point.knobs, "metric": point.metric, "macs": point.macs, "test": test}

    def trained(one: Recipe) -> tuple[Any, tuple[float, float]]:
        clock = _Clock()
        options: dict[str, Any] = {"report": lambda *_: None, "weight_sources": {}}
        found = Training()(one, seed=derive_seed(seed, "trained"), division=seed, folder=folder, **options)
        return found, clock.spent()

    if ("extracted", seed, 0) not in done:
        shutil.rmtree(folder, ignore_errors=True)
        measured, spent = trained(recipe)
        rows = []
        for number, point in enumerate(measured.points):
            network = read_network(file, point=number, device=CPU).network
            rows.append(row("extracted", number, point, spent, network))
        file.replace(folder / "elastic.pt")
        yield from rows
    for number, setting in enumerate(settings_alone(recipe, dataset, seed=seed)):
        if ("scratch", seed, number) in done:
            continue
        measured, spent = trained(alone(recipe, setting, epochs))
        point = replace(measured.points[0], knobs=setting)
        network = read_network(file, device=CPU).network
        # The sub-network of the same size, as it is in the elastic network.
        whole = read_network(folder / "elastic.pt", device=CPU).network
        parts = SubNetworks(recipe.network, recipe.elastic, dataset.modalities, dataset.task, drops=False)
        same = parts.cut_out(whole, setting) if setting else whole  # type: ignore[arg-type]
        value, _ = evaluate(same, dataset.val, metric=recipe.metric, task=dataset.task, device=CPU)
        test, _ = evaluate(same, dataset.test, metric=recipe.metric, task=dataset.task, device=CPU)
        yield {**row("scratch", number, point, spent, network), "same": value, "same_test": test}
    if fine_tune:
        yield from _fine_tuned(recipe, dataset, folder, row, seed=seed, done=done, epochs=epochs)


def _fine_tuned(
    recipe: Recipe, dataset: Dataset, folder: Path, row: Any, *, seed: int, done: set[tuple[Any, ...]], epochs: int
) -> Iterator[dict[str, Any]]:
    """Yields the members of the elastic front after more training of their own."""
    saved = read_network(folder / "elastic.pt", device=CPU)
    for number in range(1, len(saved.settings)):
        if ("fine-tuned", seed, number) in done:
            continue
        part = read_network(folder / "elastic.pt", point=number, device=CPU)
        one = alone(recipe, part.settings[number], max(FINE_TUNED_EPOCHS * epochs, 1))  # type: ignore[arg-type]
        one = one.model_copy(update={"training": one.training.model_copy(update={"lr": one.training.lr / 3})})
        start = InitialWeights("elastic", "elastic", part.network.state_dict(), has_same_outputs=True)
        clock = _Clock()
        tuned = train_network(one, dataset, seed=derive_seed(seed, "fine-tuned", number), device=CPU, start=start)
        spent = clock.spent()
        macs = expected_macs(tuned.network, dataset)
        point = argparse.Namespace(knobs=part.settings[number], metric=tuned.chosen.val_metric, macs=macs)
        yield row("fine-tuned", number, point, spent, tuned.network)


def volume(rows: list[dict[str, Any]], name: str, key: str, *, least: int, most: int) -> float:
    """Returns the hypervolume of the front that validation data choose, by the values of `key`.

    It is that between the metric and 0, and between the MACs and 1.1 times those of the whole network, as a share of
    what a perfect network of the MACs of the smallest one would have.
    """
    sign = METRICS[SETS[name]["metric"]].sign
    costs = np.array([(sign * one["metric"], math.log10(one["macs"])) for one in rows])
    front = [rows[place] for place in np.flatnonzero(non_dominated(costs))]
    shown = np.array([(sign * one[key], math.log10(one["macs"])) for one in front])
    reference = np.array([0.0, math.log10(1.1 * most)])
    return float(hypervolume(shown, reference=reference)) / (reference[1] - math.log10(least))


def print_table() -> None:
    """Prints hypervolumes, wall clock and losses by size of each data set and seed."""
    for name in SETS:
        rows = read_rows(name)
        for seed in sorted({one["seed"] for one in rows}):
            own = {
                kind: [one for one in rows if (one["kind"], one["seed"]) == (kind, seed)]
                for kind in ("extracted", "scratch", "fine-tuned")
            }
            if len(own["scratch"]) < N_ALONE or not own["extracted"]:
                print(f"{name} seed {seed}: {len(own['scratch'])} of {N_ALONE} networks alone")
                continue
            least, most = (f(one["macs"] for one in own["scratch"]) for f in (min, max))
            for unit in ("wall_s", "cpu_s"):
                elastic_s, separate_s = own["extracted"][0][unit], sum(one[unit] for one in own["scratch"])
                tuned_s = elastic_s + sum(one[unit] for one in own["fine-tuned"])
                text = f"{elastic_s:.0f} s elastic, {tuned_s:.0f} with fine-tuning, {separate_s:.0f} separate"
                print(f"{name} seed {seed}: {unit} {text}, ratios", end=" ")
                print(f"{elastic_s / separate_s:.3f}, {tuned_s / separate_s:.3f}")
            for kind in ("extracted", "scratch", "fine-tuned"):
                if own[kind]:
                    found = [volume(own[kind], name, key, least=least, most=most) for key in ("metric", "test")]
                    print(f"  {kind:10}  hypervolume on val {found[0]:.4f}, on test {found[1]:.4f}")
            lost = sorted(own["scratch"], key=lambda one: one["macs"])
            for part in np.array_split(np.arange(len(lost)), 5):
                group = [lost[place] for place in part]
                val = statistics.median(one["metric"] - one["same"] for one in group)
                test = statistics.median(one["test"] - one["same_test"] for one in group)
                sizes = f"{group[0]['macs']:,} to {group[-1]['macs']:,} MACs"
                print(f"  alone - extracted, median of {len(group)} at {sizes}: val {val:+.4f}, test {test:+.4f}")
            val, test = (
                statistics.median(one[a] - one[b] for one in lost)
                for a, b in (("metric", "same"), ("test", "same_test"))
            )
            print(f"  alone - extracted, median of all: val {val:+.4f}, test {test:+.4f}")


def read_rows(name: str) -> list[dict[str, Any]]:
    """Returns the rows of a data set."""
    file = RUNS / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def main() -> None:
    """Runs the trainings that are not done, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="data sets")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--fine-tune", action="store_true", help="also train the members of the elastic front further")
    parser.add_argument("--table", action="store_true", help="print the results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        for seed in range(arguments.seeds):
            done = {(one["kind"], one["seed"], one["number"]) for one in read_rows(name)}
            with (RUNS / f"{name}.jsonl").open("a") as file:
                for row in rows_of(name, seed=seed, done=done, fine_tune=arguments.fine_tune):
                    file.write(json.dumps(row) + "\n")
                    file.flush()
    if arguments.table:
        print_table()


if __name__ == "__main__":
    main()
