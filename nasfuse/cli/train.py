"""`nasfuse train` and `nasfuse evaluate`: a recipe becomes a network; a network is judged."""

import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from nasfuse.domain.metric import metric_text

Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1 ...; auto takes a GPU where there is one.", show_default=True)
]


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    data: Annotated[str | None, typer.Option(help="Data file in place of the one that the recipe names.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings with different seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="All seeds derive from it.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the networks; default: runs/train-<hash>.")
    ] = None,
    device: Device = "auto",
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of torch. Other numbers round otherwise; what is trained already stays.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Train a recipe and test it once: the mean over seeds, MACs and where the networks are."""
    from rich.progress import Progress
    from rich.text import Text

    from nasfuse.cli.console import LINE_EVERY_S, err, explain_fault, out, print_json
    from nasfuse.cli.resumable import resumable
    from nasfuse.errors import InvalidInputError
    from nasfuse.spec.recipe import Recipe

    cores = os.cpu_count() or 1
    if threads > cores:
        raise InvalidInputError(f"--threads {threads}: this machine has {cores} cores; ask for at most so many")
    what = Recipe.load(recipe)
    if data is not None:
        what = what.model_copy(update={"data": what.data.at(data)})
    folder = output or Path("runs") / f"train-{what.hash}"
    with err.status("loading ..."):
        import torch

        from nasfuse.experiment.final_training import train_recipe
        from nasfuse.train import Epoch
    torch.set_num_threads(threads)
    where = _device(device)
    err.print(what.summary, soft_wrap=True)
    err.print(f"data: {what.data.source}", soft_wrap=True)
    epochs = what.training.epochs
    with resumable(f"what was trained is kept in {folder}"):
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bars:
            task = bars.add_task("training", total=seeds * epochs)
            printed = time.monotonic()

            def advance(number: int, epoch: Epoch) -> None:
                nonlocal printed
                text = (
                    f"seed {number + 1}/{seeds}, epoch {epoch.epoch}/{epochs}: "
                    f"val {what.metric} {metric_text(epoch.val_metric)}"
                )
                bars.update(task, completed=number * epochs + epoch.epoch, description=text)
                if not err.is_terminal and time.monotonic() - printed > LINE_EVERY_S:
                    err.print(text, soft_wrap=True)
                    printed = time.monotonic()

            result = train_recipe(what, folder, n_seeds=seeds, seed=seed, device=where, report=advance)
    if result.check.failed:
        explain_fault(f"{result.check}; what was trained is kept")
    if as_json:
        print_json(result.to_plain())
        raise typer.Exit(int(result.check.failed))
    for split in ("val", "test"):
        mean, deviation = result.spread(split)
        spread = " (1 seed)" if deviation is None else f" +- {metric_text(deviation)} (sd of {seeds} seeds)"
        out.print(Text.assemble(f"{split:>5} {what.metric} ", (metric_text(mean), "bold"), spread))
    for one in result.seeds if result.route_macs else ():
        shares = ", ".join(f"{name} {share:.1%}" for name, share in one.routes.items())
        out.print(f"routes of the test samples: {shares} ({one.macs:,.0f} MACs on validation)", soft_wrap=True)
    for one in result.seeds:
        if one.converged:
            found = ", ".join(f"{name} {share:.1%}" for name, share in one.converged.items())
            out.print(f"fixed points found on validation: {found}", soft_wrap=True)
    most = f" (at most {result.most_macs:,})" if result.most_macs > result.macs else ""
    out.print(f"{result.macs:,} MACs{most}, recipe {what.hash}; networks in {folder}", soft_wrap=True)
    raise typer.Exit(int(result.check.failed))


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A model.pt that `train` or a search wrote.")],
    data: Annotated[
        str | None, typer.Option(help="Data file with the same modalities, in place of the one of the training.")
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Which split of its data.")] = "test",
    point: Annotated[int, typer.Option(min=0, help="Operating point P of a trial N:P; 0 is its own setting.")] = 0,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Evaluate a saved network on the val or test split of its data.

    Inputs are standardised as they were in training. A warning says where the data are not those of the training.
    """
    from rich.text import Text

    from nasfuse.cli.console import out, print_json, warn
    from nasfuse.experiment.final_training import evaluate_checkpoint

    result = evaluate_checkpoint(checkpoint, split=split, device=_device(device), source=data, point=point)
    if "warning" in result:
        warn(result["warning"])
    if as_json:
        print_json(result)
        return
    value = (metric_text(result["value"]), "bold")
    out.print(Text.assemble(f"{result['split']} {result['metric']} ", value, f" on {result['samples']} samples"))
    if "settings" in result:
        out.print(", ".join(f"{name} {value:.6g}" for name, value in result["settings"].items()))
    for name, share in result.get("routes", {}).items():
        out.print(f"{share:>6.1%} take {name}", soft_wrap=True)
    out.print(f"{result['macs']:,} MACs, recipe {result['recipe_hash']}: {result['summary']}", soft_wrap=True)


def _device(name: str) -> "torch.device":  # type: ignore[name-defined]  # noqa: F821 - torch is imported late
    import torch

    from nasfuse.errors import InvalidInputError

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError(f"--device {name}: no such kind of device; use cpu, cuda or auto") from error
    if chosen.type not in ("cpu", "cuda"):
        raise InvalidInputError(f"--device {name}: nasfuse trains on cpu or cuda; use one of them or auto")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InvalidInputError(f"--device {name}: torch sees {torch.cuda.device_count()} GPUs here; use cpu or auto")
    return chosen
