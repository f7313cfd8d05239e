"""`nasfuse predict`: predictions of a saved network for new data."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nasfuse.cli.device import Device, device_of

if TYPE_CHECKING:
    from nasfuse.prediction import Predictions, TrainedNetwork

#: Endings of the output file: the keys of `nasfuse.report.predictions.WRITERS`, which is slow to import.
SUFFIXES = (".csv", ".parquet", ".npz")

#: Largest number of rows that a warning lists.
_MOST_LISTED = 20


def predict(
    network: Annotated[
        Path, typer.Argument(help="Saved network (model.pt) of `nasfuse train` or a search, or the folder of a search.")
    ],
    data: Annotated[
        str, typer.Argument(help="Data with the columns or arrays of the training: a file or a folder; no targets.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .csv, .parquet or .npz.")],
    point: Annotated[
        int | None,
        typer.Option(min=0, help="Operating point P of a trial shown as N:P. Default: 0, the setting of its recipe."),
    ] = None,
    pick: Annotated[
        Literal["best", "knee", "cheapest"] | None,
        typer.Option(help="Point of the front, with the folder of a search: best, knee or cheapest. Default: best."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Predict the targets of new data with a saved network.

    The file has a row for each row of the data, in the same order: the prediction, probabilities, the route of a
    network with a router, and the steps of its solver. Rows that cannot be used are left empty, with the reason in the
    column `problem`.
    """
    from nasfuse.cli.console import out, warn
    from nasfuse.cli.output_file import check_output

    check_output(output, "-o", suffixes=SUFFIXES)
    path, number = _choose(network, point, pick)
    from nasfuse.prediction import load_network
    from nasfuse.report.predictions import WRITERS

    trained = load_network(path, point=number, device=device_of(device))
    found = _with_progress(trained, data)
    WRITERS[output.suffix.lower()](output, found)
    if found.problems:
        listed = ", ".join(str(row) for row in list(found.problems)[:_MOST_LISTED])
        more = f" and {len(found.problems) - _MOST_LISTED} more" if len(found.problems) > _MOST_LISTED else ""
        row, reason = next(iter(found.problems.items()))
        warn(
            f"{len(found.problems)} of {len(found)} rows have no prediction: rows {listed}{more} (counted from 0; row "
            f"{row}, {reason}); see the column problem"
        )
    out.print(f"wrote the predictions for {len(found) - len(found.problems)} rows to {output}", soft_wrap=True)


def _choose(network: Path, point: int | None, pick: str | None) -> tuple[Path, int]:
    """Returns the file of the network and the number of its operating point.

    Raises:
        InvalidInputError: --pick is not for a file and --point not for a folder, or the folder has no such network.
    """
    from nasfuse.cli.console import out
    from nasfuse.domain.metric import metric_text
    from nasfuse.errors import InvalidInputError

    if not network.is_dir():
        if pick is not None:
            raise InvalidInputError(f"--pick chooses from the folder of a search, and {network} is none; leave it out")
        return network, point or 0
    if point is not None:
        raise InvalidInputError(
            f"--point is for the network of one trial, {network}/trials/N/model.pt; name it, or use --pick"
        )
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export import select_point

    run = read_run(RunFolder(network))
    chosen = select_point(run, rule=pick)
    path = run.folder.network(chosen.trial)
    if not path.is_file():
        raise InvalidInputError(
            f"{network} keeps no network of trial {chosen.label}, for example because it was cross-validated; export "
            "its recipe and train it, and name the model.pt of that training"
        )
    figures = f"{run.objectives.metric} {metric_text(chosen.measured.metric)}, {chosen.measured.macs:,} MACs"
    out.print(f"trial {chosen.label} ({figures} on validation data)", soft_wrap=True)
    return path, chosen.point


def _with_progress(trained: "TrainedNetwork", data: str) -> "Predictions":
    from rich.progress import Progress

    from nasfuse.cli.console import err

    with Progress(console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("reading the data", total=None)

        def started(n_rows: int) -> Callable[[int], None]:
            bars.update(task, total=n_rows, completed=0, description="predicting")
            return lambda count: bars.advance(task, count)

        return trained.predictions(data, started=started)
