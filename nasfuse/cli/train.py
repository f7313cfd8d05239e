"""`nasfuse train`: training of recipes."""

import os
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from nasfuse.cli.device import Device, device_of
from nasfuse.domain.metric import metric_text


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    data: Annotated[str | None, typer.Option(help="Data file to use instead of the one in the recipe.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings, with different seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed from which the seeds of all trainings derive.")] = 0,
    refit: Annotated[
        bool, typer.Option("--refit", help="Train on train and val together; there is no metric of val then.")
    ] = False,
    init: Annotated[
        Path | None, typer.Option(help="Network (model.pt) from whose weights the trainings start, where they agree.")
    ] = None,
    point: Annotated[
        int, typer.Option(min=0, help="Operating point P of the network of --init, of a trial shown as N:P.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the networks. Default: runs/train-<recipe hash>.")
    ] = None,
    device: Device = "auto",
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of torch threads. It changes results slightly by rounding; finished trainings are kept.",
        ),
    ] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write loss and metric of every epoch for TensorBoard.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Train the network of a recipe, evaluate it once on the test split, and save it.

    Prints the mean and the standard deviation over seeds, the MACs and the folder of the networks. Run the same command
    again to continue an interrupted training.
    """
    from rich.progress import Progress
    from rich.text import Text

    from nasfuse.cli.console import LINE_EVERY_S, err, explain_fault, out, print_json, say
    from nasfuse.cli.data_bar import data_bar
    from nasfuse.cli.resumable import resumable
    from nasfuse.errors import InvalidInputError, counted
    from nasfuse.spec.ensemble import load_recipe

    if point and init is None:
        raise InvalidInputError("--point is that of the network of --init; name the network, or leave it out")
    cores = os.cpu_count() or 1
    if threads > cores:
        raise InvalidInputError(f"--threads {threads}: this machine has {counted(cores, 'core')}; use at most {cores}")
    what = load_recipe(recipe)
    if data is not None:
        what = what.model_copy(update={"data": what.data.at(data)})
    if refit:
        what = what.model_copy(update={"data": what.data.on_train_and_val()})
    with err.status("loading ..."):
        import torch

        from nasfuse.experiment.final_training import train_recipe
        from nasfuse.experiment.starting_point import StartingPoint
        from nasfuse.report.tensorboard import TensorBoardCurves
        from nasfuse.train import Epoch
    start = None if init is None else StartingPoint.read(init, point=point)
    suffix = "" if start is None else f"-from-{start.fingerprint}"
    folder = output or Path("runs") / f"train-{what.hash}{suffix}"
    curves = TensorBoardCurves(folder, metric=what.metric) if tensorboard else None
    torch.set_num_threads(threads)
    where = device_of(device)
    say(err, what.summary)
    say(err, f"data: {what.data.source}")
    epochs = sum(member.training.epochs for member in what.members)
    with resumable(lambda: f"what was trained is kept in {folder}"):
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bars, data_bar(err):
            task = bars.add_task("training", total=seeds * epochs)
            printed = time.monotonic()
            trained_now: set[int] = set()

            def advance(number: int, epoch: Epoch) -> None:
                nonlocal printed
                trained_now.add(number)
                if curves is not None:
                    curves.add(number, epoch)
                figure = f"training loss {metric_text(epoch.train_loss)}"
                if epoch.val_metric is not None:
                    figure = f"val {what.metric} {metric_text(epoch.val_metric)}"
                text = f"seed {number + 1}/{seeds}, epoch {epoch.epoch}/{epochs}: {figure}"
                bars.update(task, completed=number * epochs + epoch.epoch, description=text)
                if not err.is_terminal and time.monotonic() - printed > LINE_EVERY_S:
                    say(err, text)
                    printed = time.monotonic()

            result = train_recipe(
                what,
                folder,
                n_seeds=seeds,
                seed=seed,
                device=where,
                report=advance,
                start=start,
                announce=lambda text: err.print(text, soft_wrap=True),
            )
    if curves is not None:
        curves.close()
        err.print(f"curves: {shlex.join(['tensorboard', '--logdir', str(folder)])}", soft_wrap=True)
    if len(trained_now) < seeds:
        held = seeds - len(trained_now)
        verbs = ("was", "has") if held == 1 else ("were", "have")
        say(
            err,
            f"{held} of {counted(seeds, 'network')} {verbs[0]} in {folder} and {verbs[1]} not been trained again.",
        )
    if result.check.failed:
        explain_fault(f"{result.check}; what was trained is kept")
    if as_json:
        print_json(result.to_plain())
        raise typer.Exit(int(result.check.failed))
    for split in ("val", "test"):
        mean, deviation = result.spread(split)
        if mean is None:
            reason = "--refit" if refit else "data.validation"
            say(out, f"train and val were trained on together ({reason}), so there is no metric of val")
            continue
        spread = " (1 seed)" if deviation is None else f" +- {metric_text(deviation)} (sd of {seeds} seeds)"
        say(out, Text.assemble(f"{split:>5} {what.metric} ", (metric_text(mean), "bold"), spread))
    for one in result.seeds if result.route_macs else ():
        shares = ", ".join(f"{name} {share:.1%}" for name, share in one.routes.items())
        say(out, f"routes of the test samples: {shares} ({one.macs:,.0f} MACs on validation)")
    for one in result.seeds:
        if one.converged:
            found = ", ".join(f"{name} {share:.1%}" for name, share in one.converged.items())
            say(out, f"fixed points found on validation: {found}")
    if result.outside_macs:
        say(out, f"{result.outside_macs:,} MACs outside of the network, for the features that it reads")
    most = f" (at most {result.most_macs:,})" if result.most_macs > result.macs else ""
    say(out, f"{result.macs:,} MACs{most}, recipe {what.hash}; networks in {folder}")
    raise typer.Exit(int(result.check.failed))
