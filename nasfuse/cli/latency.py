"""`nasfuse latency`: times networks as they are deployed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nasfuse.export.latency import Timing


def latency(
    run: Annotated[Path, typer.Argument(help="Folder of a search, for its front, or a model.pt.")],
    batch: Annotated[int, typer.Option(min=2, help="Samples of a call with many.")] = 64,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a call.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the times as JSON.")] = False,
) -> None:
    """Time networks as they are deployed: as ONNX graphs, for one sample and for a batch, beside eager PyTorch.

    The times of a front are written into latency.json of the run folder, and compared with its MACs. Times are those
    of this machine now: stop what else runs on it.
    """
    from dataclasses import asdict

    from nasfuse.cli.console import err, out, print_json, say, warn
    from nasfuse.export.latency import rank_correlations, write_timings

    err.print("timing each network, deployed and eager, some seconds each ...", style="dim")
    timings, missing = _of_run(run, batch, threads) if run.is_dir() else (_of_file(run, batch, threads), [])
    if run.is_dir():
        from nasfuse.experiment.run_folder import RunFolder

        write_timings(RunFolder(run), timings)
    correlations = rank_correlations(timings)
    if missing:
        warn(f"not timed: {'; '.join(missing)}")
    if as_json:
        print_json({"timings": [asdict(one) for one in timings], "rank_correlations": correlations})
        return
    out.print(_table(timings, batch, threads))
    if correlations:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in correlations.items())
        say(out, f"rank correlation of MACs and time: {shown}")


def _of_file(path: Path, batch: int, threads: int) -> "list[Timing]":
    import torch

    from nasfuse.experiment.checkpoint_evaluation import samples_of_training, spent_macs
    from nasfuse.export.deployable import network_in_file
    from nasfuse.export.latency import time_network

    saved = network_in_file(path, point=0)
    dataset, samples = samples_of_training(saved, "val")
    macs, _ = spent_macs(saved.network, saved.recipe, samples, dataset, torch.device("cpu"))
    return [time_network(saved, label=path.name, macs=round(macs), batch=batch, threads=threads)]


def _of_run(folder: Path, batch: int, threads: int) -> "tuple[list[Timing], list[str]]":
    """Returns the times of the front of a run, and why some of its points have none."""
    from nasfuse.errors import InvalidInputError, RunFolderError
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export.deployable import network_of_point
    from nasfuse.export.latency import time_network

    found = read_run(RunFolder(folder))
    if not found.progress.front:
        raise InvalidInputError(f"{folder} {found.why_empty}; continue its search first")
    timings, missing = [], []
    for point in found.progress.front:
        try:
            saved = network_of_point(found, point)
        except (InvalidInputError, RunFolderError) as error:
            missing.append(f"trial {point.label} ({error})")
            continue
        macs = point.measured.macs
        timings.append(time_network(saved, label=point.label, macs=macs, batch=batch, threads=threads))
    if not timings:
        raise RunFolderError(f"no point of the front can be timed: {'; '.join(missing)}")
    return timings, missing


def _table(timings: "list[Timing]", batch: int, threads: int) -> object:
    from rich.table import Table

    title = f"Time per sample in microseconds: median (interquartile range), {threads} thread{'s' * (threads > 1)}"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in ("trial", "MACs", "deployed", "eager", "faster", f"deployed, {batch}", f"eager, {batch}"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in timings:
        singles = [f"{1e6 * each.median_s:.1f} ({1e6 * each.iqr_s:.1f})" for each in (one.deployed, one.eager)]
        ratio = f"{one.eager.median_s / one.deployed.median_s:.1f}x"
        many = [f"{1e6 * each.median_s / one.batch:.2f}" for each in (one.deployed_batch, one.eager_batch)]
        table.add_row(one.label, f"{one.macs:,}", *singles, ratio, *many)
    return table
