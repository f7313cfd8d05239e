"""The records of a benchmark: one JSON line per run, so that a benchmark that was cut off goes on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.search.simulation import Run


@dataclass(frozen=True)
class Job:
    """Which run of which engine.

    Attributes:
        problem: Its name.
        engine: Its name.
        seed: Of the run.
        full_trainings: Budget; None where `trials` is given.
        trials: Trainings to start; None where a budget is given.
        workers: Trainings at a time.
        by_macs: Whether epochs take longer for networks with more MACs.
    """

    problem: str
    engine: str
    seed: int
    full_trainings: int | None = None
    trials: int | None = None
    workers: int = 1
    by_macs: bool = False


class Records:
    """The file of a benchmark."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; a line that was cut off is left out."""
        self._path = path
        self._runs: dict[Job, Run] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                plain = json.loads(line)
            except ValueError:
                continue
            self._runs[Job(**plain["job"])] = Run(**plain["run"])

    def __contains__(self, job: Job) -> bool:
        return job in self._runs

    def __getitem__(self, job: Job) -> Run:
        return self._runs[job]

    def add(self, job: Job, run: Run) -> None:
        """Keeps a run, at once on disk."""
        self._runs[job] = run
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"job": asdict(job), "run": asdict(run)}) + "\n")

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Returns those of `jobs` that have no run yet."""
        return [job for job in jobs if job not in self]
