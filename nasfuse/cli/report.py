"""`nasfuse report`: one self-contained HTML file."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: RUN/report.html.")] = None,
) -> None:
    """Write the report of a run: chart, front, hand-made designs, failures, in one HTML file."""
    from nasfuse.cli.console import out
    from nasfuse.cli.output_file import check_output
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.report.html import write_report

    check_output(output, "-o", suffixes=(".html", ".htm"))
    found = read_run(RunFolder(run))
    path = output or found.folder.report_file
    write_report(path, found)
    out.print(f"wrote {path}", soft_wrap=True)
