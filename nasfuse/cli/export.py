"""`nasfuse export`: writes one point of the front as a recipe, or a trained network for deployment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nasfuse.domain.metric import metric_text

if TYPE_CHECKING:
    from nasfuse.prediction import SavedNetwork


def export(
    run: Annotated[
        Path,
        typer.Argument(help="Folder of a search, for example runs/mine; with --onnx or --torch also a model.pt."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Recipe file (YAML) to write. Default: print it.")
    ] = None,
    onnx: Annotated[
        Path | None,
        typer.Option(help="Folder to write with the network as ONNX graphs, which nasfuse.runtime runs without torch."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="With --onnx: 8-bit weights of linear layers, whose metric is measured.")
    ] = False,
    torch: Annotated[
        Path | None, typer.Option(help="Folder to write with a torch.export program for each route of the network.")
    ] = None,
    point: Annotated[
        int | None, typer.Option(min=0, help="With a model.pt: operating point P of a trial shown as N:P. Default: 0.")
    ] = None,
    pick: Annotated[
        Literal["best", "knee", "cheapest"] | None,
        typer.Option(
            help="Which of the points within all limits: best metric, knee (the cheapest of those that are about as "
            "good as the best; the report defines it), or cheapest. Default: cheapest with --min-metric or --within, "
            "else best."
        ),
    ] = None,
    max_macs: Annotated[int | None, typer.Option(min=1, help="Limit: at most this many MACs.")] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(min=0, help="Limit: at most this measured latency."),
    ] = None,
    min_metric: Annotated[float | None, typer.Option(help="Limit: a metric at least this good.")] = None,
    within: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Limit: a metric that loses at most this percentage of the best."),
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(
            help="Choose trial N, operating point P of trial N as N:P, or an ensemble as N+N:P, as in the tables."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--force", help="Replace another recipe file, or the folder of an older export.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the exported point as JSON.")] = False,
) -> None:
    """Write one point of the front: its recipe, for `nasfuse train`, or its network, for deployment.

    --pick chooses among the points that keep all of --max-macs, --max-latency-ms, --min-metric and --within; --trial
    names a point instead. The network is compared with what is written on validation data, and not written if they
    differ. Without -o, --onnx and --torch, the recipe is printed. A file with another recipe and
    a folder with an export are replaced only with --force, a folder with other files never.
    """
    from nasfuse.cli.console import command_line, err, out, print_json, say
    from nasfuse.cli.output_file import check_output
    from nasfuse.experiment.atomic_files import write_text
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export import explanation, select_point
    from nasfuse.search.front import to_row

    criteria = (pick, max_macs, max_latency_ms, min_metric, within, trial)
    is_file = run.is_file() or (run.suffix == ".pt" and not run.is_dir())
    _check_options(output, onnx, torch, int8=int8, point=point, criteria=criteria, is_file=is_file, run=run)
    _check_folders(onnx, torch, overwrite=overwrite)
    check_output(output, "-o", suffixes=(".yaml", ".yml"))
    if is_file:
        from nasfuse.export.deployable import network_in_file

        written = _deploy(
            network_in_file(run, point=point or 0), onnx, torch, int8=int8, overwrite=overwrite, quiet=as_json
        )
        if as_json:
            print_json(written)
        return
    found = read_run(RunFolder(run))
    choice = select_point(
        found,
        pick=pick,
        trial=trial,
        max_macs=max_macs,
        max_latency_ms=max_latency_ms,
        min_metric=min_metric,
        within=within,
    )
    chosen = choice.candidate
    recipe = found.recipe(chosen)
    if output is not None and not overwrite:
        _check_same_recipe(output, recipe.to_yaml())
    saved = None
    if onnx is not None or torch is not None:
        from nasfuse.export.deployable import network_of_point

        saved = network_of_point(found, chosen)
    document = {**to_row(chosen), "explanation": explanation(found, choice), "recipe_hash": recipe.hash}
    prints_recipe = output is None and saved is None
    if prints_recipe:
        document["recipe"] = recipe.to_plain()
    if not as_json:
        to = err if prints_recipe else out
        measured = chosen.measured
        reported = measured.reported_metric
        also = "" if reported is None else f", {recipe.metric} {metric_text(reported)}"
        figures = f"{found.objectives.metric} {metric_text(measured.metric)}{also} (validation), {measured.macs:,} MACs"
        say(to, f"trial {chosen.label}: {figures}")
        say(to, recipe.summary)
        say(to, explanation(found, choice))
        if prints_recipe:
            print(recipe.to_yaml(), end="")
    if output is not None:
        write_text(output, recipe.to_yaml())
        document["file"] = str(output)
        if not as_json:
            trains = command_line("train", output)
            say(out, f"wrote {output} (recipe {recipe.hash}); train it with: {trains}")
    if saved is not None:
        document |= _deploy(saved, onnx, torch, int8=int8, overwrite=overwrite, quiet=as_json)
    if as_json:
        print_json(document)


def _check_options(
    output: Path | None,
    onnx: Path | None,
    torch: Path | None,
    *,
    int8: bool,
    point: int | None,
    criteria: tuple[object, ...],
    is_file: bool,
    run: Path,
) -> None:
    """Checks that there is something to write, and that the options belong to it."""
    from nasfuse.errors import InvalidInputError

    if int8 and onnx is None:
        raise InvalidInputError("--int8 is about ONNX graphs; give --onnx, too")
    if point is not None and not is_file:
        raise InvalidInputError(f"--point is for a model.pt, and {run} is the folder of a search; use --trial N:P")
    if is_file and output is not None:
        raise InvalidInputError(f"-o writes the recipe of a point of a search, and {run} is no folder of one")
    if is_file and onnx is None and torch is None:
        raise InvalidInputError("nothing to write: give --onnx or --torch with the name of a folder")
    if is_file and any(one is not None for one in criteria):
        raise InvalidInputError(f"criteria such as --pick choose from the folder of a search, and {run} is none")


def _check_folders(onnx: Path | None, torch: Path | None, *, overwrite: bool) -> None:
    """Checks before anything is computed that the folders can be written."""
    from nasfuse.errors import InvalidInputError
    from nasfuse.export.export_folder import check_folder

    if onnx is not None and torch is not None and onnx.resolve() == torch.resolve():
        raise InvalidInputError(f"--onnx and --torch both name {onnx}; give each a folder of its own")
    for folder in (onnx, torch):
        if folder is not None:
            check_folder(folder, overwrite=overwrite)


def _check_same_recipe(output: Path, text: str) -> None:
    """Checks that a file that is there has the recipe that would be written."""
    from nasfuse.errors import InvalidInputError

    if output.exists() and output.read_bytes() != text.encode():
        raise InvalidInputError(
            f"{output} exists and holds something else; name another file with -o, or overwrite it with --force"
        )


def _deploy(
    saved: "SavedNetwork", onnx: Path | None, torch: Path | None, *, int8: bool, overwrite: bool, quiet: bool
) -> dict[str, object]:
    """Writes the network, prints what was checked, and returns it."""
    from nasfuse.cli.console import out, say

    document: dict[str, object] = {}
    if onnx is not None:
        from nasfuse.export.bundle import write_bundle

        written = write_bundle(saved, onnx, int8=int8, overwrite=overwrite)
        parity, figures = written.parity, written.figures
        document["onnx"] = {"folder": str(onnx), "figures": figures, "parity": parity.to_plain()}
        if not quiet:
            borderline = f", {parity.n_borderline} decided differently" if parity.n_borderline else ""
            say(
                out,
                f"difference from the network: {parity.difference:.1e} at most, over {parity.n_samples} "
                f"{figures['samples']} samples ({parity.allowed:.1e} is rounding{borderline})",
            )
            if parity.n_sensitive:
                say(
                    out,
                    f"{parity.n_sensitive} of them do not count, since their fixed points do not converge: rounding of "
                    f"inputs changes the network itself by up to {parity.change:.1e}; a higher max_steps may help",
                )
            value = "not finite" if figures["bundle"] is None else metric_text(figures["bundle"])
            say(
                out,
                f"{figures['metric']} ({figures['samples']}): {metric_text(figures['network'])} by the network, "
                f"{value} by the bundle{' with 8-bit weights' if int8 else ''}",
            )
            size = f"{written.n_graphs} graph{'s' if written.n_graphs > 1 else ''}, {written.n_bytes / 1000:,.0f} kB"
            say(out, f"wrote {onnx} ({size}); run it with nasfuse.runtime.load({str(onnx)!r})")
    if torch is not None:
        from nasfuse.export.torch_files import write_torch_programs

        differences = write_torch_programs(saved, torch, overwrite=overwrite)
        document["torch"] = {"folder": str(torch), "differences": differences}
        if not quiet:
            shown = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
            say(out, f"wrote {torch}; largest difference from the network by route: {shown}")
    return document
