"""Time of `--help` of every verb, and time from the command `search` to the start of the first training.

The start of the first training is its end minus the wall time in its record.

    python benchmarks/startup.py           # --only help or training
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer.main

from nasfuse.cli.app import app

ROOT = Path(__file__).parents[1]


def verbs() -> list[tuple[str, ...]]:
    """Returns the names of the program without a verb, of all verbs, and of verbs within verbs."""
    found: list[tuple[str, ...]] = [()]
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [(name,), *((name, inner) for inner in getattr(command, "commands", {}))]
    return found


def seconds_of(command: list[str]) -> float:
    """Returns the seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def until_training() -> float:
    """Returns the seconds from the command to the start of the first training."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        start = time.time()
        subprocess.run(
            [sys.executable, "cli.py", "search", "digits", "--trials", "1", "--workers", "1", "-o", str(run)],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        (trial,) = optuna.load_study(study_name="digits", storage=f"sqlite:///{run}/study.db").trials
        assert trial.datetime_complete is not None
        return trial.datetime_complete.timestamp() - float(trial.user_attrs["record"]["wall_s"]) - start


def main() -> None:
    """Prints medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["help", "training"], help="which of the two is measured")
    options = parser.parse_args()
    for verb in verbs() if options.only != "training" else ():
        command = [sys.executable, "cli.py", *verb, "--help"]
        times = [seconds_of(command) for _ in range(options.repeats)]
        print(
            f"{' '.join((*verb, '--help')):<20} {statistics.median(times):.2f} s "
            f"(from {min(times):.2f} to {max(times):.2f})",
            flush=True,
        )
    if options.only != "help":
        times = [until_training() for _ in range(options.repeats)]
        print(f"{'first training':<20} {statistics.median(times):.1f} s (from {min(times):.1f} to {max(times):.1f})")


if __name__ == "__main__":
    main()
