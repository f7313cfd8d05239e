"""`nasfuse report`: writes the HTML report of a run."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a search, for example runs/mine.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file to write. Default: report.html in the run folder.")
    ] = None,
) -> None:
    """Write the interactive report of a run: one HTML file with its front, designs, trials, curves and failures.

    What the search had no time to measure of its front is measured first.
    """
    from nasfuse.cli.console import err, out, say, warn
    from nasfuse.cli.data_bar import data_bar
    from nasfuse.cli.output_file import check_output
    from nasfuse.errors import NasfuseError
    from nasfuse.experiment.countdown import UNLIMITED
    from nasfuse.experiment.front_measurement import measure_front
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.report.html import write_report

    check_output(output, "-o", suffixes=(".html", ".htm"))
    found = read_run(RunFolder(run))
    try:
        with data_bar(err):
            measure_front(found.folder, found.study, found.progress.front, countdown=UNLIMITED)
        found = read_run(found.folder)  # with what was measured
    except NasfuseError as error:
        warn(f"{error}; the report has no figures by class, or without a modality, of points not measured before")
    path = output or found.folder.report_file
    write_report(path, found)
    say(out, f"wrote {path}")
