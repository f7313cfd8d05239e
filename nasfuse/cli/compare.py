"""`nasfuse compare`: the fronts of several runs, overlaid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasfuse.domain.metric import metric_text

if TYPE_CHECKING:
    from nasfuse.report.comparison import Comparison


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of two or more searches.")],
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the fronts to this image file: .png, .svg or .pdf.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the comparison to this HTML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare the fronts of runs with the same metric and cost: hypervolumes, and who leads at which cost."""
    from nasfuse.cli.console import err, print_json, say
    from nasfuse.cli.output_file import check_output
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.report.comparison import compare as compare_runs

    check_output(html, "--html", suffixes=(".html", ".htm"))
    if plot is not None:
        from nasfuse.report.figure import FORMATS

        check_output(plot, "--plot", suffixes=FORMATS)
    found = compare_runs([read_run(RunFolder(run)) for run in runs])
    if plot is not None:
        from nasfuse.report.comparison_figure import write_comparison_figure

        write_comparison_figure(plot, found)
        say(err, f"wrote {plot}")
    if html is not None:
        from nasfuse.report.comparison_figure import write_comparison_page

        write_comparison_page(html, found)
        say(err, f"wrote {html}")
    if as_json:
        print_json(_document(found))
    else:
        _print(found)


def _document(found: "Comparison") -> dict[str, Any]:
    from nasfuse.search.front import to_row

    return {
        "metric": found.objectives.metric,
        "cost": found.objectives.cost,
        "reference": list(found.objectives.reference),
        "runs": {
            name: {"hypervolume": found.hypervolumes[name], "front": [to_row(one) for one in front]}
            for name, front in found.fronts.items()
        },
        "spans": [{"from": span.low, "to": span.high, "leaders": list(span.leaders)} for span in found.spans],
        "has_other_data": found.has_other_data,
    }


def _print(found: "Comparison") -> None:
    from rich.table import Table

    from nasfuse.cli.console import out, print_table, say
    from nasfuse.report.units import cost_label

    objectives = found.objectives
    cost = objectives.cost
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in ("hypervolume", "points", f"best {objectives.metric}", "from", "to"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, front in found.fronts.items():
        table.add_row(
            name,
            metric_text(found.hypervolumes[name], digits=3),
            str(len(front)),
            metric_text(front[-1].measured.metric),
            cost_label(cost, front[0].measured.cost(cost)),
            cost_label(cost, front[-1].measured.cost(cost)),
        )
    print_table(table)
    reference = (
        f"{objectives.metric} {metric_text(objectives.reference[0])} at {cost_label(cost, objectives.reference[1])}"
    )
    say(out, f"Reference point of all hypervolumes: {reference}; metric on validation data.", style="dim")
    for span in found.spans:
        high = "on" if span.high is None else f"to {cost_label(cost, span.high)}"
        say(out, f"From {cost_label(cost, span.low)} {high}: {' and '.join(span.leaders)}")
    if found.has_other_data:
        say(
            out,
            "The runs have other data or another division of them, so their metrics are not comparable without care.",
        )
