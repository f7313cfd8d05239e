"""The files with the results that a search writes into its folder at its end."""

from collections.abc import Callable
from pathlib import Path

from nasfuse.experiment.run_reader import Run
from nasfuse.report.figure import write_figure
from nasfuse.report.html import write_report
from nasfuse.report.table import write_csv


def write_run_files(run: Run) -> dict[Path, str]:
    """Writes report, table and figure of a run, and returns the files that could not be written, with the reason."""
    front = run.progress.front
    files: dict[Path, Callable[[Path], None]] = {
        run.folder.report_file: lambda path: write_report(path, run),
        run.folder.root / "front.csv": lambda path: write_csv(path, front),
        run.folder.root / "front.png": lambda path: write_figure(path, run, run.objectives, front),
    }
    lost = {}
    for path, write in files.items():
        try:
            write(path)
        except OSError as error:
            lost[path] = error.strerror or str(error)
    return lost
