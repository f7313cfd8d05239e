"""`nasfuse predict`: predictions of a saved network for new data."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nasfuse.cli.device import Device, device_of

if TYPE_CHECKING:
    from nasfuse.data.raw_table import RawTable
    from nasfuse.prediction import Predictions, Predictor

#: Endings of the output file: the keys of `nasfuse.report.predictions.WRITERS`, which is slow to import.
SUFFIXES = (".csv", ".parquet", ".npz")

#: Exit code if the file was written and some rows have no prediction.
SOME_UNUSABLE = 3

#: Largest number of rows that a warning lists.
_MOST_LISTED = 20


def predict(
    network: Annotated[
        Path, typer.Argument(help="Saved network (model.pt) of `nasfuse train` or a search, or the folder of a search.")
    ],
    data: Annotated[
        str, typer.Argument(help="Data with the columns or arrays of the training: a file or a folder; no targets.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="File to write: .csv, .parquet or .npz; for label maps also a folder of PNG files."
        ),
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the data to copy into the file, for example an identifier. Repeatable. Default: the number "
            "of the row, counted from 0, as row."
        ),
    ] = None,
    point: Annotated[
        int | None,
        typer.Option(min=0, help="Operating point P of a trial shown as N:P. Default: 0, the setting of its recipe."),
    ] = None,
    pick: Annotated[
        Literal["best", "knee", "cheapest"] | None,
        typer.Option(help="Point of the front, with the folder of a search: best, knee or cheapest. Default: best."),
    ] = None,
    max_macs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Limit with the folder of a search: a point of at most this many MACs, also one of a network with a "
            "router at another threshold.",
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="For label maps: write the probability of each class of all pixels (.npz)."
        ),
    ] = False,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Predict the targets of new data with a saved network.

    The file has a row for each row of the data, in the same order: the prediction, probabilities, the route of a
    network with a router, and the steps of its solver. Rows that cannot be used are left empty, with the reason in the
    column `problem`; the exit code is 3 if there are any. Label maps become a PNG file for each row in a new folder,
    or the array `prediction` of an `.npz` file.
    """
    from nasfuse.cli.console import out, print_json, say, warn
    from nasfuse.cli.output_file import check_empty_folder, check_output
    from nasfuse.errors import InvalidInputError, counted

    is_folder = not output.suffix or output.is_dir()
    if is_folder:
        check_empty_folder(output, "-o")
    else:
        check_output(output, "-o", suffixes=SUFFIXES, inputs=(network, *_files(data)))
    if probabilities and output.suffix.lower() != ".npz":
        raise InvalidInputError(f"--probabilities of all pixels need -o FILE.npz, got {output}; change one of the two")
    if point is not None and network.is_dir():
        raise InvalidInputError(
            f"--point is for the network of one trial, {network}/trials/N/model.pt; name it, or use --pick and "
            "--max-macs"
        )
    for option, given in (("--pick", pick), ("--max-macs", max_macs)):
        if given is not None and not network.is_dir():
            raise InvalidInputError(
                f"{option} chooses from the folder of a search, and {network} is none; leave it out, or name an "
                "operating point of the network with --point"
            )
    _check_order(network, data)
    predictor, described = _predictor(network, point=point, pick=pick, max_macs=max_macs, device=device)
    if described and not as_json:
        say(out, described)
    from nasfuse.prediction.new_data import new_data
    from nasfuse.report.predictions import WRITERS, kept_columns, row_names, write_label_maps

    _check_kind(predictor, output, is_folder=is_folder, probabilities=probabilities)
    raw = new_data(data, columns=predictor.columns)
    kept = kept_columns(raw, keep or ())
    found = _with_progress(predictor, raw, probabilities=probabilities)
    if is_folder:
        write_label_maps(output, found, kept, row_names(raw, predictor.columns, len(found)))
    else:
        WRITERS[output.suffix.lower()](output, found, kept)
    if found.problems:
        listed = ", ".join(str(row) for row in list(found.problems)[:_MOST_LISTED])
        more = f" and {len(found.problems) - _MOST_LISTED} more" if len(found.problems) > _MOST_LISTED else ""
        warn(
            f"no prediction for {len(found.problems)} of {counted(len(found), 'row')}, counted from 0: {listed}{more}; "
            f"the first one because of {next(iter(found.problems.values()))}; see the column problem"
        )
    usable = len(found) - len(found.problems)
    rows = counted(len(found), "row")
    if as_json:
        problems = {str(row): reason for row, reason in found.problems.items()}
        print_json({"file": str(output), "rows": len(found), "predicted": usable, "problems": problems})
    else:
        share = f"{usable} of {rows}" if found.problems else rows
        say(out, f"wrote the predictions for {share} to {output}")
    raise typer.Exit(SOME_UNUSABLE if found.problems else 0)


def _check_kind(predictor: "Predictor", output: Path, *, is_folder: bool, probabilities: bool) -> None:
    """Checks that what is asked for exists for the task of a network."""
    from nasfuse.errors import InvalidInputError

    if predictor.task.size is not None:
        return
    if is_folder:
        kinds = ", ".join(SUFFIXES)
        raise InvalidInputError(
            f"-o {output} has no suffix, and the network predicts no label maps; add one of {kinds}"
        )
    if probabilities:
        raise InvalidInputError(
            "--probabilities are for label maps; other predictions always have them, so leave it out"
        )


def _check_order(network: Path, data: str) -> None:
    """Checks that the two arguments are not swapped."""
    from nasfuse.data.sources.registry import READERS
    from nasfuse.errors import InvalidInputError

    if network.suffix.lower() in READERS or (Path(data).suffix == ".pt" and network.suffix != ".pt"):
        raise InvalidInputError(
            f"the first argument is a network file (model.pt) or the folder of a search, and {network} is data; name "
            "the network first, then the data"
        )


def _files(data: str) -> list[Path]:
    """Returns the file or folder of data, if there is one; what is missing is reported when the data are read."""
    from nasfuse.data.sources.registry import find_file
    from nasfuse.errors import MissingFileError
    from nasfuse.spec.data_source import is_function

    try:
        return [] if is_function(data) else [find_file(data)]
    except MissingFileError:
        return []


def _predictor(
    network: Path, *, point: int | None, pick: str | None, max_macs: int | None, device: str
) -> "tuple[Predictor, str]":
    """Returns the network of a file, or of a point of a search with a sentence that says which."""
    from nasfuse.prediction import load_network

    if not network.is_dir():
        return load_network(network, point=point or 0, device=device_of(device)), ""
    from nasfuse.domain.metric import metric_text
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export import networks_of, select_point, trained_point

    run = read_run(RunFolder(network))
    chosen = select_point(run, pick=pick, max_macs=max_macs).candidate
    count = len(networks_of(run, chosen))
    figures = f"{run.objectives.metric} {metric_text(chosen.measured.metric)}, {chosen.measured.macs:,} MACs"
    mean = f": the mean of {count} networks" if count > 1 else ""
    predictor = trained_point(run, chosen, device=device_of(device))
    return predictor, f"trial {chosen.label} ({figures} on validation data){mean}"


def _with_progress(predictor: "Predictor", raw: "RawTable", *, probabilities: bool) -> "Predictions":
    """Returns the predictions for new data, with a progress bar."""
    from rich.progress import Progress

    from nasfuse.cli.console import err
    from nasfuse.cli.data_bar import data_bar

    with Progress(console=err, transient=True, disable=not err.is_terminal) as bars, data_bar(err):
        task = bars.add_task("reading the data", total=None)

        def started(n_rows: int) -> Callable[[int], None]:
            bars.update(task, total=n_rows, completed=0, description="predicting")
            return lambda count: bars.advance(task, count)

        return predictor.predictions(raw, started=started, pixel_probabilities=probabilities)
