"""Trains every network of `table_space.yaml` once and packs the learning curves into `table.npz`.

    python -m benchmarks.search.record_table lines.jsonl        # one thread; run it again after an interruption
    python -m benchmarks.search.record_table lines.jsonl --pack

One training per network, on one thread, with the package's own training loop. `lines.jsonl` has one line per training
and is not kept; the table holds parameters, MACs and the validation metric after every epoch.
"""

import argparse
import json
import platform
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.search.enumeration import every_suggestion, key_of
from nasfuse import __version__
from nasfuse.data import Dataset
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.plain_models import constant_score
from nasfuse.experiment.run import make_space
from nasfuse.experiment.space_survey import macs_of
from nasfuse.search.space import Space
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import StudyConfig
from nasfuse.train import train_network

STUDY = Path(__file__).parent / "table_study.yaml"
TABLE = Path(__file__).parent / "table.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path, help="JSON lines, one per training; continued where it exists")
    parser.add_argument("--most", type=int, help="trainings in this run")
    parser.add_argument("--pack", action="store_true", help=f"write {TABLE.name} from the lines; trains nothing")
    arguments = parser.parse_args()
    study = StudyConfig.load(STUDY)
    dataset = cached_dataset(study.data.model_dump_json())
    space = make_space(study, dataset)
    networks = every_suggestion(space.suggest)
    done = _read(arguments.lines)
    if arguments.pack:
        _pack(study, dataset, [done[key_of(params)] for params in networks])
        return
    torch.set_num_threads(1)
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True, cwd=STUDY.parent).stdout.strip()
    missing = [index for index, params in enumerate(networks) if key_of(params) not in done]
    random.Random(0).shuffle(missing)  # what is there early is a fair sample
    for count, index in enumerate(missing[: arguments.most], start=1):
        seed = derive_seed(study.seed, "table", index)
        row = _train(study, dataset, space, networks[index], seed=seed, commit=commit)
        with arguments.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{count}/{len(missing)}: {row['macs']} MACs, {row['curve'][-1]:.4f}, {row['wall_s']:.1f} s", flush=True)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the trainings in `path` by the key of their parameters; a line that was cut off is left out."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[key_of(row["params"])] = row
    return rows


def _train(
    study: StudyConfig, dataset: Dataset, space: Space, params: dict[str, Any], *, seed: int, commit: str
) -> dict[str, Any]:
    recipe = space.recipe(params)
    started = time.perf_counter()
    trained = train_network(recipe, dataset, seed=seed, device=torch.device("cpu"))
    return {
        "params": params,
        "macs": macs_of(recipe, dataset),
        "curve": [epoch.val_metric for epoch in trained.curve],
        "seed": seed,
        "wall_s": round(time.perf_counter() - started, 3),
        "commit": commit,
    }


def _pack(study: StudyConfig, dataset: Dataset, rows: list[dict[str, Any]]) -> None:
    """Writes the table: arrays of one entry per network, and where they come from."""
    provenance = {
        "study": study.to_plain(),
        "constant_metric": constant_score([dataset], study.metric),
        "modalities": [(one.name, one.kind, one.shape) for one in dataset.modalities],
        "n_val": len(dataset.val),
        "data_fingerprint": dataset.fingerprint,
        "commits": sorted({row["commit"] for row in rows}),
        "nasfuse": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": 1,
        "seeds": "derive_seed(0, 'table', index), index in the order of the keys",
    }
    np.savez_compressed(
        TABLE,
        params=np.array([key_of(row["params"]) for row in rows]),
        macs=np.array([row["macs"] for row in rows], dtype=np.int64),
        curves=np.array([row["curve"] for row in rows], dtype=np.float32),
        seeds=np.array([row["seed"] for row in rows], dtype=np.int64),
        wall_s=np.array([row["wall_s"] for row in rows], dtype=np.float32),
        provenance=np.array(json.dumps(provenance)),
    )
    print(f"{TABLE}: {len(rows)} trainings, {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
