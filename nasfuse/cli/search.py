"""`nasfuse search`: runs a study, shows its progress and prints the front."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nasfuse.cli.live import LiveDisplay
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.spec.study import StudyConfig


def search(
    study: Annotated[Path, typer.Argument(help="Study file (YAML), or the name of a shipped study.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of trainings, over all sessions of the search.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Maximum time in minutes, over all sessions of the search.")
    ] = None,
    max_macs: Annotated[
        int | None, typer.Option(min=1, help="Largest number of MACs (per sample) of a network that is trained.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of parallel trials. Default: as many as fit.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster. Default: this machine.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what failed in earlier sessions, before anything else.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of suggestions and trainings.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the search. Default: runs/<name of the study>.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON.")] = False,
) -> None:
    """Run the search of a study and print its front. Run the same command again to continue.

    --trials and --minutes replace the budget of the study; other options replace its settings.
    """
    from nasfuse.cli.console import err
    from nasfuse.cli.live import LiveDisplay
    from nasfuse.cli.resumable import resumable
    from nasfuse.errors import InvalidInputError
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.spec.study import StudyConfig

    if minutes is not None and not math.isfinite(minutes):
        raise InvalidInputError(f"--minutes must be a finite number, got {minutes}")
    _check_no_data(study)
    asked = StudyConfig.load(study).replaced(
        trials=trials, minutes=minutes, max_macs=max_macs, workers=workers, seed=seed
    )
    folder = RunFolder(output or Path("runs") / asked.name)
    display = LiveDisplay(err, asked, folder)
    with resumable(lambda: _kept(folder, display)):
        _search(asked, folder, display=display, address=address, retry_failed=retry_failed, as_json=as_json)


def _check_no_data(study: Path) -> None:
    """Checks that a file of data was not given as the study."""
    if study.suffix in ("", ".yaml", ".yml") or not study.exists():
        return
    from nasfuse.cli.console import command_line
    from nasfuse.data.sources.registry import READERS
    from nasfuse.errors import InvalidInputError

    if study.suffix.lower() in READERS:
        init = command_line("init", study)
        raise InvalidInputError(f"{study} holds data, and a search needs a study; write one with `{init}`")


def _kept(folder: "RunFolder", display: "LiveDisplay") -> str:
    if display.n_ended == 0:
        return "no trial has finished yet, and those that ran continue from where they were saved last"
    return f"every finished trial is kept in {folder.root}"


def _search(
    study: "StudyConfig",
    folder: "RunFolder",
    *,
    display: "LiveDisplay",
    address: str | None,
    retry_failed: bool,
    as_json: bool,
) -> None:
    from nasfuse.backends.interrupts import deferred
    from nasfuse.cli.console import command_line, doing, err, explain_fault, out, print_json, say, warn
    from nasfuse.cli.data_bar import data_bar
    from nasfuse.domain.task import TASKS
    from nasfuse.errors import counted
    from nasfuse.experiment.started_ahead import started_ahead
    from nasfuse.search.budget import end_by_time

    with display:
        display.phase("loading PyTorch")
        with started_ahead(study, folder, address=address) as ahead:
            with deferred():  # the process aborts if a signal interrupts the import of PyTorch
                from nasfuse.experiment.run import run_search

            with data_bar(err):
                progress = run_search(
                    study, folder, display=display, address=address, retry_failed=retry_failed, ahead=ahead
                )
    if not display.ran:
        complete = counted(progress.states["complete"], "trial")
        ends = {"stopped": "stopped early", "out_of_time": "out of time"}
        stopped = "".join(f", {count} {text}" for name, text in ends.items() if (count := progress.states[name]))
        by_time = end_by_time(study.budget, trainings=progress.done)
        advice = by_time or "continue with a larger --trials or --minutes"
        say(err, f"{folder.root} has spent its budget ({complete} complete{stopped}); {advice}.")
    from nasfuse.experiment.damaged_part import read_part
    from nasfuse.experiment.macs_check import read_checks
    from nasfuse.experiment.no_result import no_result
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.report.run_files import write_run_files
    from nasfuse.report.table import front_document

    if progress.best is None:
        raise no_result(progress, study)
    run = read_run(folder)
    if as_json:
        print_json(front_document(run, run.objectives, run.progress.front))
    else:
        from nasfuse.cli.pareto import print_front

        print_front(run, run.objectives, run.progress.front)
        nothing_suggested = run.progress.seconds_per_suggestion is None
        if nothing_suggested and all(candidate.baseline is not None for candidate in run.candidates):
            say(out, "The budget was spent on hand-made designs only; search with a larger --trials or --minutes.")
    failed = [one for one in (read_part(read_checks, folder) or []) if one.check.failed]
    for one in failed:
        explain_fault(f"trial {one.label}: {one.check}")
    with doing(err, "writing the report"):
        lost = write_run_files(run)
    for path, reason in lost.items():
        warn(f"{path} was not written: {reason}")
    if lost:
        again = command_line("report", run.folder.root)
        warn(f"all trials are kept; run the same command, or {again}, to write the report")
    else:
        console = err if as_json else out
        say(console, f"\nReport: {folder.report_file} (front.csv and front.png are in the same folder)")
        output = "maps" if TASKS[run.study.data.task].is_dense else "predictions.csv"
        example = command_line("predict", folder.root, "NEW", "-o", output)
        say(console, "Predictions for new data NEW of the same form, by the best point:")
        console.print(f"  {example}", soft_wrap=True)
    raise typer.Exit(int(bool(failed or lost)))
