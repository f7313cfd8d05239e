"""`nasfuse latency`: times networks as they are deployed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from nasfuse.cost.latency import Latency
    from nasfuse.export.latency import Timing


def latency(
    run: Annotated[Path, typer.Argument(help="Folder of a search, for its front, a model.pt, or a bundle.")],
    batch: Annotated[int, typer.Option(min=2, help="Samples of a call with many.")] = 64,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a call.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the times as JSON.")] = False,
) -> None:
    """Time networks as they are deployed: as ONNX graphs, for one sample and for a batch, beside eager PyTorch.

    The times of a front are written into latency.json of the run folder, and compared with its MACs. A bundle (the
    folder of export --onnx) is timed on random samples, each of its routes apart. Times are those of this machine now:
    stop what else runs on it.
    """
    from dataclasses import asdict

    from nasfuse.cli.console import err, out, print_json, print_table, say, warn
    from nasfuse.errors import InvalidInputError, counted
    from nasfuse.export.latency import rank_correlations, time_bundle, write_timings

    if not run.exists():
        raise InvalidInputError(f"there is no {run}; give the folder of a search, a model.pt or a bundle")
    say(err, "timing each network, some seconds each ...", style="dim")
    missing: dict[str, str] = {}
    correlations = None
    if (run / "manifest.json").is_file():
        timings = time_bundle(run, batch=batch, threads=threads)
    elif run.is_dir():
        from nasfuse.experiment.run_folder import RunFolder

        timings, missing = _of_run(run, batch, threads)
        write_timings(RunFolder(run), timings)
        correlations = rank_correlations(timings)
    else:
        timings = _of_file(run, batch, threads)
    if missing:
        first = "the first " if len(missing) > 1 else ""
        reason = next(iter(missing.values()))
        warn(f"not timed: {counted(len(missing), 'point')} ({', '.join(missing)}), {first}because {reason}")
    if as_json:
        print_json({"timings": [asdict(one) for one in timings], "rank_correlations": correlations})
        return
    plural = "s" * (threads > 1)
    say(out, f"Time per sample in microseconds: median (interquartile range), {threads} thread{plural}", style="bold")
    print_table(_table(timings, batch))
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


def _of_run(folder: Path, batch: int, threads: int) -> "tuple[list[Timing], dict[str, str]]":
    """Returns the times of the front of a run, and why some of its points have none, by label."""
    from nasfuse.errors import InvalidInputError, RunFolderError
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.export.deployable import network_of_point
    from nasfuse.export.latency import time_network

    found = read_run(RunFolder(folder))
    if not found.progress.front:
        raise InvalidInputError(f"{folder} {found.why_empty}; continue its search first")
    timings: list[Timing] = []
    missing: dict[str, str] = {}
    for point in found.progress.front:
        try:
            saved = network_of_point(found, point)
        except (InvalidInputError, RunFolderError) as error:
            missing[point.label] = str(error)
            continue
        macs = point.measured.macs
        timings.append(time_network(saved, label=point.label, macs=macs, batch=batch, threads=threads))
    if not timings:
        raise RunFolderError(f"no point of the front can be timed: {next(iter(missing.values()))}")
    return timings, missing


def _table(timings: "list[Timing]", batch: int) -> "Table":
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    columns: dict[str, Callable[[Any], str]] = {
        "trial": lambda one: one.label,
        "MACs": lambda one: "" if one.macs is None else f"{one.macs:,}",
        "deployed": lambda one: _single(one.deployed),
        "eager": lambda one: _single(one.eager),
        "faster": lambda one: f"{one.eager.median_s / one.deployed.median_s:.1f}x",
        f"deployed, {batch}": lambda one: f"{1e6 * one.deployed_batch.median_s / one.batch:.2f}",
        f"eager, {batch}": lambda one: f"{1e6 * one.eager_batch.median_s / one.batch:.2f}",
    }
    of_bundle = all(one.eager is None for one in timings)
    shown = [name for name in columns if not of_bundle or not name.startswith(("eager", "faster"))]
    for name in shown:
        title = "route" if of_bundle and name == "trial" else name
        table.add_column(title, justify="right", no_wrap=True)
    for one in timings:
        table.add_row(*(columns[name](one) for name in shown))
    return table


def _single(latency: "Latency") -> str:
    return f"{1e6 * latency.median_s:.1f} ({1e6 * latency.iqr_s:.1f})"
