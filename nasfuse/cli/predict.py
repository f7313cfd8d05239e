"""`nasfuse predict`: predictions of a saved network for new data."""

import warnings
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
    from nasfuse.errors import InvalidInputError, counted

    check_output(output, "-o", suffixes=SUFFIXES, inputs=(network, *_files(data)))
    if point is not None and network.is_dir():
        raise InvalidInputError(
            f"--point is for the network of one trial, {network}/trials/N/model.pt; name it, or use --pick"
        )
    if pick is not None and not network.is_dir():
        raise InvalidInputError(f"--pick chooses from the folder of a search, and {network} is none; leave it out")
    _check_order(network, data)
    chosen = _choose(network, pick) if network.is_dir() else [(network, point or 0, {})]
    from nasfuse.prediction import averaged, load_network
    from nasfuse.report.predictions import WRITERS
    from nasfuse.train.sweep import set_network

    networks = []
    for file, number, settings in chosen:
        networks.append(load_network(file, point=number, device=device_of(device)))
        set_network(networks[-1].network, settings)
    parts = _with_progress(networks, data)
    found = averaged(parts) if len(parts) > 1 else parts[0]
    WRITERS[output.suffix.lower()](output, found)
    if found.problems:
        listed = ", ".join(str(row) for row in list(found.problems)[:_MOST_LISTED])
        more = f" and {len(found.problems) - _MOST_LISTED} more" if len(found.problems) > _MOST_LISTED else ""
        warn(
            f"no prediction for {len(found.problems)} of {counted(len(found), 'row')}, counted from 0: {listed}{more}; "
            f"the first one because of {next(iter(found.problems.values()))}; see the column problem"
        )
    usable = len(found) - len(found.problems)
    rows = counted(len(found), "row")
    share = f"{usable} of {rows}" if found.problems else rows
    out.print(f"wrote the predictions for {share} to {output}", soft_wrap=True)


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


def _choose(run_folder: Path, pick: str | None) -> list[tuple[Path, int, dict[str, float]]]:
    """Returns the networks of a point of a front: file, index of the point in it, and further settings.

    An ensemble has several members, and a cross-validated point has a network for each fold, whose knobs are set to
    those of the point.

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
    found: list[tuple[Path, int, dict[str, float]]] = []
    for member in chosen.members or (chosen,):
        files = run.folder.networks(member.trial)
        if not files:
            raise InvalidInputError(
                f"{run_folder} has no network of trial {member.label} any more; export the recipe of the point and "
                "train it, and name the model.pt of that training"
            )
        if len(files) == 1:
            found.append((files[0], member.point, {}))
        else:
            found += [(file, 0, member.measured.settings) for file in files]
    figures = f"{run.objectives.metric} {metric_text(chosen.measured.metric)}, {chosen.measured.macs:,} MACs"
    mean = f": the mean of {len(found)} networks" if len(found) > 1 else ""
    out.print(f"trial {chosen.label} ({figures} on validation data){mean}", soft_wrap=True)
    return found


def _with_progress(networks: Sequence["TrainedNetwork"], data: str) -> list["Predictions"]:
    """Returns the predictions of each network for the same data."""
    from rich.progress import Progress

    from nasfuse.cli.console import err
    from nasfuse.cli.feature_bar import feature_bar
    from nasfuse.errors import DataWarning
    from nasfuse.prediction.new_data import new_data

    with Progress(console=err, transient=True, disable=not err.is_terminal) as bars, feature_bar(err):
        task = bars.add_task("reading the data", total=None)

        def started(n_rows: int) -> Callable[[int], None]:
            bars.update(task, total=n_rows, completed=0, description="predicting")
            return lambda count: bars.advance(task, count)

        raw = new_data(data)
        first = networks[0].predictions(raw, started=started)
        with warnings.catch_warnings():  # folds differ in which categories are rare
            warnings.filterwarnings("ignore", message=".* has categories that were rare", category=DataWarning)
            return [first, *(network.predictions(raw, started=started) for network in networks[1:])]
