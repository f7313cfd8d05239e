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
    """Write the report of a run: one HTML file with chart, front, hand-made designs and failures."""
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
