"""`nasfuse predict`: predictions of a saved network for new data."""

from collections.abc import Callable, Sequence
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
    from nasfuse.errors import InvalidInputError

    check_output(output, "-o", suffixes=SUFFIXES)
    if point is not None and network.is_dir():
        raise InvalidInputError(
            f"--point is for the network of one trial, {network}/trials/N/model.pt; name it, or use --pick"
        )
    if pick is not None and not network.is_dir():
        raise InvalidInputError(f"--pick chooses from the folder of a search, and {network} is none; leave it out")
    files, number, settings = _choose(network, pick) if network.is_dir() else ([network], point or 0, {})
    from nasfuse.prediction import averaged, load_network
    from nasfuse.report.predictions import WRITERS
    from nasfuse.train.sweep import set_network

    networks = [load_network(file, point=number, device=device_of(device)) for file in files]
    for one in networks:
        set_network(one.network, settings)
    parts = _with_progress(networks, data)
    found = averaged(parts) if len(parts) > 1 else parts[0]
    WRITERS[output.suffix.lower()](output, found)
    if found.problems:
        listed = ", ".join(str(row) for row in list(found.problems)[:_MOST_LISTED])
        more = f" and {len(found.problems) - _MOST_LISTED} more" if len(found.problems) > _MOST_LISTED else ""
        warn(
            f"no prediction for {len(found.problems)} of {len(found)} rows, counted from 0: {listed}{more}; the first "
            f"one because of {next(iter(found.problems.values()))}; see the column problem"
        )
    out.print(f"wrote the predictions for {len(found) - len(found.problems)} rows to {output}", soft_wrap=True)


def _choose(run_folder: Path, pick: str | None) -> tuple[list[Path], int, dict[str, float]]:
    """Returns the files of the networks of a point of a front, the index of the point in them, and further settings.

    A cross-validated point has a network for each fold, whose knobs are set to those of the point.

    Raises:
        InvalidInputError: The folder has no such network.
    """
    from nasfuse.cli.console import out
    from nasfuse.domain.metric import metric_text
    from nasfuse.errors import InvalidInputError
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export import select_point

    run = read_run(RunFolder(run_folder))
    chosen = select_point(run, rule=pick)
    files = run.folder.networks(chosen.trial)
    if not files:
        raise InvalidInputError(
            f"{run_folder} has no network of trial {chosen.label} any more; export its recipe and train it, and name "
            "the model.pt of that training"
        )
    figures = f"{run.objectives.metric} {metric_text(chosen.measured.metric)}, {chosen.measured.macs:,} MACs"
    is_mean = len(files) > 1
    mean = f": the mean of the {len(files)} networks of its cross-validation" if is_mean else ""
    out.print(f"trial {chosen.label} ({figures} on validation data){mean}", soft_wrap=True)
    return (files, 0, chosen.measured.settings) if is_mean else (files, chosen.point, {})


def _with_progress(networks: Sequence["TrainedNetwork"], data: str) -> list["Predictions"]:
    """Returns the predictions of each network for the same data."""
    from rich.progress import Progress

    from nasfuse.cli.console import err
    from nasfuse.prediction.new_data import new_data

    with Progress(console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("reading the data", total=None)

        def started(n_rows: int) -> Callable[[int], None]:
            bars.update(task, total=n_rows, completed=0, description="predicting")
            return lambda count: bars.advance(task, count)

        raw = new_data(data)
        return [network.predictions(raw, started=started) for network in networks]
