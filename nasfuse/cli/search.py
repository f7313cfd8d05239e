"""`nasfuse search`: runs a study, shows its progress and prints the front."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nasfuse.cli.live import LiveDisplay
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import Run
    from nasfuse.search.progress import Progress
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
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.spec.study import StudyConfig

    asked = _with_options(StudyConfig.load(study), trials, minutes, max_macs, workers, seed)
    folder = RunFolder(output or Path("runs") / asked.name)
    display = LiveDisplay(err, asked, folder)
    with resumable(lambda: _kept(folder, display)):
        _search(asked, folder, display=display, address=address, as_json=as_json)


def _kept(folder: "RunFolder", display: "LiveDisplay") -> str:
    if display.n_ended == 0:
        return "no trial has finished yet, and those that ran continue from where they were saved last"
    return f"every finished trial is kept in {folder.root}"


def _with_options(
    study: "StudyConfig",
    trials: int | None,
    minutes: float | None,
    max_macs: int | None,
    workers: int | None,
    seed: int | None,
) -> "StudyConfig":
    """Returns the study with the options of the command line; --trials and --minutes replace its budget."""
    from nasfuse.errors import InvalidInputError

    if minutes is not None and not math.isfinite(minutes):
        raise InvalidInputError(f"--minutes must be a finite number, got {minutes}")
    changes: dict[str, Any] = {}
    if trials is not None or minutes is not None:
        changes["budget"] = study.budget.model_copy(update={"trials": trials, "minutes": minutes})
    if workers is not None:
        changes["resources"] = study.resources.model_copy(update={"workers": workers})
    changes |= {key: value for key, value in (("max_macs", max_macs), ("seed", seed)) if value is not None}
    return study.model_copy(update=changes)


def _search(
    study: "StudyConfig", folder: "RunFolder", *, display: "LiveDisplay", address: str | None, as_json: bool
) -> None:
    from nasfuse.cli.console import command_line, err, explain_fault, out, print_json
    from nasfuse.cli.feature_bar import feature_bar
    from nasfuse.errors import counted

    with err.status("loading data and starting workers ..."):
        from nasfuse.experiment.run import run_search
    with display, feature_bar(err):
        progress = run_search(study, folder, display=display, address=address)
    if not display.ran:
        stopped = f", {progress.states['stopped']} stopped early" if progress.states["stopped"] else ""
        complete = counted(progress.states["complete"], "trial")
        err.print(
            f"{folder.root} has spent its budget ({complete} complete{stopped}); "
            "continue with a larger --trials or --minutes.",
            soft_wrap=True,
        )
    from nasfuse.experiment.damaged_part import read_part
    from nasfuse.experiment.macs_check import read_checks
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.report.table import front_document

    if progress.best is None:
        raise _nothing(progress, study)
    run = read_run(folder)
    if as_json:
        print_json(front_document(run, run.objectives, run.progress.front))
    else:
        from nasfuse.cli.pareto import print_front

        print_front(run, run.objectives, run.progress.front)
        nothing_suggested = run.progress.seconds_per_suggestion is None
        if nothing_suggested and all(candidate.baseline is not None for candidate in run.candidates):
            out.print("The budget was spent on hand-made designs only; search with a larger --trials or --minutes.")
    failed = [one for one in (read_part(read_checks, folder) or []) if one.check.failed]
    for one in failed:
        explain_fault(f"trial {one.label}: {one.check}")
    lost = _write_files(run)
    if not lost:
        tell = (err if as_json else out).print
        tell(f"\nReport: {folder.report_file} (front.csv and front.png are in the same folder)", soft_wrap=True)
        example = command_line("predict", folder.root, "NEW", "-o", "predictions.csv")
        tell(f"Predictions for a file NEW of the same form, by the best point: {example}", soft_wrap=True)
    raise typer.Exit(int(bool(failed or lost)))


def _write_files(run: "Run") -> list[Path]:
    """Writes report, table and figure; warns about files that cannot be written, and returns them."""
    from nasfuse.cli.console import command_line, warn
    from nasfuse.report.figure import write_figure
    from nasfuse.report.html import write_report
    from nasfuse.report.table import write_csv

    front = run.progress.front
    files: dict[Path, Callable[[Path], None]] = {
        run.folder.report_file: lambda path: write_report(path, run),
        run.folder.root / "front.csv": lambda path: write_csv(path, front),
        run.folder.root / "front.png": lambda path: write_figure(path, run, run.objectives, front),
    }
    lost = []
    for path, write in files.items():
        try:
            write(path)
        except OSError as error:
            lost.append(path)
            warn(f"{path} was not written: {error.strerror}")
    if lost:
        again = command_line("report", run.folder.root)
        warn(f"all trials are kept; run the same command, or {again}, to write the report")
    return lost


def _nothing(progress: "Progress", study: "StudyConfig") -> Exception:
    from nasfuse.errors import NoResultError, counted

    if progress.n_not_robust:
        return NoResultError(
            f"the search ended without a result: none of {counted(progress.n_not_robust, 'network')} reaches "
            f"robust_metric {study.robust_metric} without any one modality; draw training.modality_dropout, or start a "
            "study with another limit"
        )
    if progress.n_above_limit:
        complete = counted(progress.n_above_limit, "complete trial")
        return NoResultError(
            f"the search ended without a result: no operating point of its {complete} has at most max_macs "
            f"{study.max_macs}; raise --max-macs, and the same trials are on the front"
        )
    failed, stopped = progress.states["failed"], progress.states["stopped"]
    first = next(iter(progress.reasons.items()), None)
    if first is not None:
        share = f"all {failed} trials" if failed > 1 else "the only trial"
        why = f"{share} failed, trial {first[0]} because {first[1]}"
        if stopped:
            why = f"{counted(failed, 'trial')} failed and {stopped} stopped early, trial {first[0]} because {first[1]}"
    elif stopped:
        why = f"{counted(stopped, 'trial')} stopped early, and none was trained to its end; raise --trials or --minutes"
    else:
        why = "no trial has ended; raise --trials or --minutes"
    return NoResultError(f"the search ended without a result: {why}")
