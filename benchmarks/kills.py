"""What is lost when the processes of a search are killed at random moments?

Each victim (driver, worker, raylet, GCS) is killed with SIGKILL at so many random moments: a quarter of them while a
session starts, the others while trials run. A search that ends of it is started again with the same command; when a
search is over before all kills have happened, the next one begins. Trials take a second and do no work, or train.
Afterwards every search has the trials and the values of one that was never killed, and within a minute nothing is left
of a session: no process, so no port and no shared memory, and no folder.

    python benchmarks/kills.py --moments 20
    python benchmarks/kills.py --victims worker --trains --moments 5
    python benchmarks/kills.py --eight
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: Part of the command line of each victim; the driver is known by its process.
VICTIMS = {"driver": b"", "worker": b"ray::ImplicitFunc", "raylet": b"raylet/raylet", "gcs": b"gcs_server"}

#: Seconds after which nothing may be left of a session.
LONGEST_S = 60.0

N_TRIALS, N_EPOCHS, N_WORKERS = 16, 10, 2

#: Seconds of an epoch without training, and of a search without its start.
EPOCH_S = 0.1
RUN_S = N_TRIALS * N_EPOCHS * EPOCH_S / N_WORKERS

#: Share of the kills that happen while a session starts.
SHARE_AT_START = 0.25

#: Variable of the environment of every process of a search, by which those that are left are found.
MARK = "NASFUSE_KILLS"


def study(*, trains: bool, n_workers: int) -> dict[str, Any]:
    """Returns the study in plain form."""
    return {
        "name": "kills",
        "data": {"source": "digits"},
        "space": {
            "fields": {
                "network.route": {"subsets": True},
                "network.streams.*.width": {"choices": [8, 16, 24, 32], "when": {"network.route": {"has": "*"}}},
                "training.lr": {"float": [1e-3, 1e-2], "log": True},
            },
            "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": N_EPOCHS},
            "baselines": {"both": {"network.route": "all"}},
        },
        "budget": {"trials": N_TRIALS, "repeats": 1},
        "resources": {"workers": n_workers},
    }


def make_table() -> Callable[..., Any]:
    """Returns an objective that waits instead of training, and goes on from its finished folds, one to an epoch.

    Inside a function, to be pickled whole: workers do not import this script.
    """
    epoch_s = EPOCH_S

    class Table:
        def __call__(self, recipe: Any, *, seed: int, folder: Path, report: Any, **_: Any) -> Any:
            from nasfuse.backends.beginning import begun
            from nasfuse.domain.operating_point import Measurements, OperatingPoint

            n_epochs = recipe.training.epochs
            width = sum(stream.width for stream in recipe.network.streams.values())
            metric = 0.8 - 0.3 * random.Random(seed).random() - 5 / width
            with begun(folder):
                for epoch in range(1, n_epochs + 1):
                    place = folder / f"fold{epoch}"
                    if not (place / "model.pt").exists():
                        time.sleep(epoch_s)
                        place.mkdir(parents=True, exist_ok=True)
                        (place / "metrics.jsonl").write_text("{}\n")
                        (place / "model.pt").touch()
                        with (folder / "epochs").open("a") as file:
                            file.write(f"{epoch}\n")
                    report(epoch, metric - (1 - epoch / n_epochs) / 10)
            point = OperatingPoint(metric, width, 1, 1e-3, 0.0, 1)
            return Measurements((point,), {"epochs": n_epochs, "epochs_asked": n_epochs})

    return Table()


class Silent:
    """A display that shows nothing."""

    def ready(self, *_: Any, **__: Any) -> None:
        """Shows nothing."""

    def phase(self, text: str) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""

    def started(self, _: Any) -> None:
        """Shows nothing."""

    def ended(self, *_: Any, **__: Any) -> None:
        """Shows nothing."""


def run_session(folder: Path, *, trains: bool, n_workers: int) -> None:
    """Runs the search in `folder`, or goes on with it, on as many cores of Ray as it has workers."""
    from nasfuse.backends.ray_session import ray
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.started_ahead import started_ahead
    from nasfuse.spec.study import StudyConfig

    ray.init = partial(ray.init, num_cpus=n_workers)
    asked, run = StudyConfig.parse(study(trains=trains, n_workers=n_workers)), RunFolder(folder)
    with started_ahead(asked, run, address=None) as ahead:  # as the command does
        from nasfuse.experiment.run import run_search

        table = None if trains else make_table()
        run_search(asked, run, display=Silent(), objective=table, ahead=ahead)  # type: ignore[arg-type]


@dataclass
class Searches:
    """Searches in folders below `root`, the processes of the present session, and what was seen of their ends."""

    root: Path
    trains: bool = False
    n_workers: int = N_WORKERS
    n_searches: int = 0
    ends: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Makes the folder for temporary files, whose path is short enough for Ray's sockets."""
        self.places = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
        self.folder = self.root / "0"

    def start(self) -> "subprocess.Popen[str]":
        """Starts a session of the present search."""
        options = ["--session", str(self.folder), "--workers", str(self.n_workers), *["--trains"] * self.trains]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: str(self.root), "TMPDIR": str(self.places)}
        errors = (self.root / "errors").open("w")
        return subprocess.Popen([sys.executable, __file__, *options], env=environment, stderr=errors, text=True)

    def processes(self, name: bytes = b"") -> list[int]:
        """Returns the processes of the session whose command line contains `name`."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_one = f"{MARK}={self.root}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if is_one and name in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def leftovers(self) -> list[str]:
        """Returns what is left of sessions: processes, folders and shared memory."""
        named = [Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0] for pid in self.processes() if exists(pid)]
        return [*named, *map(str, self.places.iterdir()), *map(str, Path("/dev/shm").glob("nf-*"))]

    def wait_until_gone(self) -> float:
        """Returns the seconds until nothing is left of a session.

        Raises:
            AssertionError: Something is left after `LONGEST_S`.
        """
        started = time.monotonic()
        while left := self.leftovers():
            assert time.monotonic() - started < LONGEST_S, left
            time.sleep(0.2)
        return time.monotonic() - started

    def next(self) -> None:
        """Goes to the next search."""
        self.n_searches += 1
        self.folder = self.root / str(self.n_searches)


def exists(pid: int) -> bool:
    """Returns whether there is a process with that number."""
    return Path(f"/proc/{pid}/cmdline").exists()


def outcome(folder: Path) -> list[Any]:
    """Returns all that a study holds at its end but times, by trial."""
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.search.storage import open_storage
    from nasfuse.spec.study import StudyConfig

    run = RunFolder(folder)
    storage = open_storage(run.storage_url(StudyConfig.load(run.study_file)))
    (stored,) = storage.get_all_studies()
    passing = {"suggestion_s", "deaths", "released", "saved_epochs", "record", "points"}
    found = []
    for one in storage.get_all_trials(stored._study_id):
        attributes = {key: value for key, value in one.user_attrs.items() if key not in passing}
        found.append((one.number, one.state.name, one.params, one.values, attributes))
    return found


def check(found: list[Any], expected: list[Any]) -> None:
    """Raises AssertionError with the trials that differ."""
    assert found == expected, (len(found), [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]])


def wait_for(searches: Searches, process: "subprocess.Popen[str]", name: bytes) -> list[int]:
    """Returns the processes whose command line contains `name`, when there are some; none if the session has ended."""
    while process.poll() is None:
        if found := searches.processes(name):
            return found
        time.sleep(0.1)
    return []


def wait_for_moment(searches: Searches, process: "subprocess.Popen[str]", rng: random.Random, start_s: float) -> None:
    """Returns at a random moment of a session, or when it has ended."""
    is_at_start = rng.random() < SHARE_AT_START
    wait_s = rng.uniform(0, start_s if is_at_start else RUN_S)
    if not is_at_start:
        wait_for(searches, process, VICTIMS["worker"])
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=wait_s)


def kill_at_random(searches: Searches, victim: str, *, moments: int, rng: random.Random, start_s: float) -> None:
    """Kills one process of a kind at so many random moments; every search is then run to its end."""
    n_kills = 0
    process = searches.start()
    while True:
        if n_kills < moments:
            wait_for_moment(searches, process, rng, start_s)
            targets = [process.pid] if victim == "driver" else wait_for(searches, process, VICTIMS[victim])
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(targets), signal.SIGKILL)
                    n_kills += 1
                if victim == "worker":
                    continue
        killed_at = time.monotonic()
        code = process.wait(timeout=300)
        took_s, gone_s = time.monotonic() - killed_at, searches.wait_until_gone()
        last = (searches.root / "errors").read_text().strip().splitlines()[-1:]
        searches.ends.append({"victim": victim, "code": code, "end_s": took_s, "gone_s": gone_s, "last": last})
        print(json.dumps({"kills": n_kills, **searches.ends[-1]}), flush=True)
        if code == 0:
            if n_kills >= moments:
                return
            searches.next()
        process = searches.start()


def kill_one_trial(searches: Searches, *, times: int) -> None:
    """Kills the only worker so many times in one trial, each time after progress."""
    process = searches.start()
    epochs = searches.folder / "trials" / "0" / "epochs"
    for kill in range(1, times + 1):
        while not epochs.exists() or len(epochs.read_text().splitlines()) < kill:
            assert process.poll() is None, "the search has ended before all kills"
            time.sleep(0.02)
        for pid in searches.processes(VICTIMS["worker"]):
            os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=600) == 0
    searches.wait_until_gone()


@contextmanager
def made_searches(root: Path, name: str, **options: Any) -> Iterator[Searches]:
    """Yields searches, and removes what they leave."""
    (root / name).mkdir(parents=True)
    searches = Searches(root / name, **options)
    try:
        yield searches
    finally:
        for pid in searches.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(searches.places, ignore_errors=True)


def unbroken(root: Path, name: str, **options: Any) -> tuple[list[Any], float]:
    """Returns the outcome of a search that nothing kills, and the seconds until its workers are there."""
    with made_searches(root, name, **options) as searches:
        process, started_at = searches.start(), time.monotonic()
        wait_for(searches, process, VICTIMS["worker"])
        start_s = time.monotonic() - started_at
        assert process.wait(timeout=600) == 0, (searches.root / "errors").read_text()
        searches.wait_until_gone()
        return outcome(searches.folder), start_s


def main() -> None:
    """Prints a line for every end of a session, and for every victim whether nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trains", action="store_true", help="train the networks")
    parser.add_argument("--eight", action="store_true", help="kill the worker eight times in one trial instead")
    parser.add_argument("--session", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=N_WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.session is not None:
        run_session(options.session, trains=options.trains, n_workers=options.workers)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.eight:
            expected, _ = unbroken(Path(folder), "unbroken", n_workers=1)
            with made_searches(Path(folder), "eight", n_workers=1) as searches:
                kill_one_trial(searches, times=8)
                check(outcome(searches.folder), expected)
            print("eight kills in one trial: nothing is lost")
            return
        expected, start_s = unbroken(Path(folder), "unbroken", trains=options.trains)
        print(json.dumps({"start_s": start_s, "trials": len(expected)}), flush=True)
        for victim in options.victims:
            rng = random.Random(f"{options.seed} {victim}")
            with made_searches(Path(folder), victim, trains=options.trains) as searches:
                kill_at_random(searches, victim, moments=options.moments, rng=rng, start_s=start_s)
                for number in range(searches.n_searches + 1):
                    check(outcome(searches.root / str(number)), expected)
            print(f"{victim}: nothing is lost in {searches.n_searches + 1} searches", flush=True)


if __name__ == "__main__":
    main()
