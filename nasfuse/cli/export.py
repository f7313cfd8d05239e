"""`nasfuse export`: writes one point of the front as a recipe."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nasfuse.domain.metric import metric_text


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a search, for example runs/mine.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Recipe file (YAML) to write.")],
    pick: Annotated[
        Literal["best", "knee", "cheapest"] | None,
        typer.Option(
            help="Point of the front: best metric, knee (the cheapest of those that are about as good as the best; the "
            "report defines it), or lowest cost. Default: best."
        ),
    ] = None,
    max_macs: Annotated[
        int | None, typer.Option(min=1, help="Choose the best metric among points with at most this many MACs.")
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(min=0, help="Choose the best metric among points with at most this measured latency."),
    ] = None,
    min_metric: Annotated[
        float | None, typer.Option(help="Choose the cheapest point whose metric is at least this good.")
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Choose the cheapest point that loses at most this percentage of the best."),
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(
            help="Choose trial N, operating point P of trial N as N:P, or an ensemble as N+N:P, as in the tables."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the exported point as JSON.")] = False,
) -> None:
    """Write the recipe of one point of the front, for `nasfuse train`.

    Give at most one of --pick, --max-macs, --max-latency-ms, --min-metric, --within and --trial.
    """
    from nasfuse.cli.console import command_line, out, print_json
    from nasfuse.cli.output_file import check_output
    from nasfuse.errors import InvalidInputError
    from nasfuse.experiment.run_folder import RunFolder, write_text
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export import beside, select_point
    from nasfuse.search.front import to_row

    check_output(output, "-o", suffixes=(".yaml", ".yml"))
    given = (pick, max_macs, max_latency_ms, min_metric, within, trial)
    if sum(option is not None for option in given) > 1:
        raise InvalidInputError(
            "give one of --pick, --max-macs, --max-latency-ms, --min-metric, --within and --trial, got several"
        )
    found = read_run(RunFolder(run))
    chosen = select_point(
        found,
        rule=pick,
        trial=trial,
        max_macs=max_macs,
        max_latency_ms=max_latency_ms,
        min_metric=min_metric,
        within=within,
    )
    recipe = found.recipe(chosen)
    write_text(output, recipe.to_yaml())
    if as_json:
        print_json({**to_row(chosen), "recipe_hash": recipe.hash, "file": str(output)})
        return
    measured = chosen.measured
    reported = measured.reported_metric
    also = "" if reported is None else f", {recipe.metric} {metric_text(reported)}"
    figures = f"{found.objectives.metric} {metric_text(measured.metric)}{also} (validation), {measured.macs:,} MACs"
    out.print(f"trial {chosen.label}: {figures}", soft_wrap=True)
    out.print(recipe.summary, soft_wrap=True)
    out.print(beside(found, chosen), soft_wrap=True)
    out.print(f"wrote {output} (recipe {recipe.hash}); train it with: {command_line('train', output)}", soft_wrap=True)
