"""`nasfuse pareto`: the front of a run as a table, JSON, CSV or figure."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasfuse.domain.metric import metric_text
from nasfuse.errors import counted

if TYPE_CHECKING:
    from nasfuse.experiment.robustness_file import Robustness
    from nasfuse.experiment.run_reader import Run
    from nasfuse.search.front import Candidate, Objectives


#: Width of a terminal, in characters, that fits all columns of the table.
_WIDE = 110


def pareto(
    run: Annotated[Path, typer.Argument(help="Folder of a search, for example runs/mine.")],
    csv: Annotated[Path | None, typer.Option(help="Also write the front to this CSV file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the front to this image file: .png, .svg or .pdf.")
    ] = None,
    latency: Annotated[
        bool, typer.Option(help="Compute the front over measured latency instead of the cost of the study.")
    ] = False,
    robust: Annotated[
        bool,
        typer.Option("--robust", help="Also evaluate the networks of the front without each modality; for the report."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON, with the recipes.")] = False,
) -> None:
    """Show the front of a run: the operating points that are not dominated by any other."""
    from nasfuse.cli.console import err, print_json, say
    from nasfuse.cli.output_file import check_output
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run
    from nasfuse.report.table import by_cost, front_document, write_csv

    check_output(csv, "--csv", suffixes=(".csv",))
    if plot is not None:
        from nasfuse.report.figure import FORMATS, write_figure

        check_output(plot, "--plot", suffixes=FORMATS)
    found = read_run(RunFolder(run), with_parameters=False)
    objectives, front = by_cost(found, "latency_s" if latency else found.objectives.cost)
    if csv is not None:
        write_csv(csv, front)
        say(err, f"wrote {csv}")
    if plot is not None:
        write_figure(plot, found, objectives, front)
        say(err, f"wrote {plot}")
    without = _measure(found, front) if robust else []
    if as_json:
        print_json(front_document(found, objectives, front, without))
    else:
        print_front(found, objectives, front)
        if robust:
            print_robustness(found, front, without)


def print_front(run: "Run", objectives: "Objectives", front: "list[Candidate]") -> None:
    """Prints the front and the best hand-made design."""
    from nasfuse.cli.console import out, print_table, say
    from nasfuse.cli.front_table import front_table
    from nasfuse.experiment.plain_comparison import against_linear_model
    from nasfuse.report.extracted import extracted_note
    from nasfuse.report.outside import outside_note
    from nasfuse.search.front import is_perfect, knee_of

    if not front:
        say(out, f"{run.folder.root} {run.why_empty}.")
        return
    knee = knee_of(front, objectives)
    volume = metric_text(objectives.hypervolume(run.candidates), digits=3)
    say(out, f"Front of {run.study.name}: {counted(len(front), 'point')}, hypervolume {volume}", style="bold")
    wide = not out.is_terminal or out.width >= _WIDE
    print_table(front_table(front, objectives=objectives, wide=wide, knee=knee.candidate))
    hand_made = run.progress.best_baseline
    say(out, f"* knee: {knee.reason}; metric on validation data; FLOPs are 2 x MACs", style="dim")
    outside = outside_note(front, run.study.data)
    if outside is not None:
        say(out, f"{outside}.")
    extracted = extracted_note(front)
    if extracted is not None:
        say(out, f"{extracted}.")
    repeats = run.study.budget.repeats
    unconfirmed = sum(len(member.trainings) < repeats for member in front)
    if unconfirmed:
        again = f"; {_how_to_confirm(run)}" if objectives == run.objectives else ""
        say(out, f"Points of fewer than {repeats} trainings, which may be lucky: {unconfirmed} of {len(front)}{again}.")
    n_perfect = len({candidate.trial for candidate in run.candidates if is_perfect(candidate, run.objectives)})
    if n_perfect > 1:
        say(
            out,
            f"{n_perfect} networks have {run.objectives.metric} {metric_text(1.0)}, so it does not tell which of them "
            "is better, and the cheapest is on the front; a new study with `select_by: log_loss` tells more.",
        )
    if any(member.members for member in front):
        say(out, "Ensembles such as 3+1 average the predictions of their members; their metric is cross-validated.")
    if hand_made is not None:
        say(
            out,
            f"Best hand-made design: {hand_made.baseline}, "
            f"{objectives.metric} {metric_text(hand_made.measured.metric)} at "
            f"{hand_made.measured.macs:,} MACs (trial {hand_made.label})",
        )
    if run.plain is not None and run.progress.best is not None:
        say(out, against_linear_model(run.progress.best, run.plain))


def _measure(run: "Run", front: "list[Candidate]") -> "list[Robustness]":
    """Returns the members of the front without each modality, which are also written to the folder of the run."""
    from nasfuse.cli.device import device_of
    from nasfuse.experiment.robustness import measure_robustness
    from nasfuse.experiment.robustness_file import write_robustness

    found = measure_robustness(run.folder, run.study, front, device=device_of("auto"))
    write_robustness(run.folder, found)
    return found


def print_robustness(run: "Run", front: "list[Candidate]", found: "list[Robustness]") -> None:
    """Prints the metric of the members of the front without each modality."""
    from nasfuse.cli.console import out, print_table, say
    from nasfuse.cli.robustness_table import robustness_table

    if found:
        say(out, "Validation data without a modality", style="bold")
        print_table(robustness_table(found, metric=run.objectives.metric))
        say(out, "The first training of each point, on its validation data.", style="dim")
    if any(one.by_mean for one in found):
        say(
            out,
            "~ the network was trained without missing modalities, so the mean of the training data stands for this "
            "one; training.modality_dropout trains for it",
            style="dim",
        )
    if len(found) < len(front):
        say(
            out,
            f"Left out: {counted(len(front) - len(found), 'point')}, ensembles and points without a network in the run "
            "folder.",
        )


def _how_to_confirm(run: "Run") -> str:
    trials = run.study.budget.trials
    is_spent = not run.searching and (trials is None or run.progress.done >= trials)
    if is_spent:
        return "a larger --trials or --minutes trains them again"
    return "the last fifth of a budget goes to training them again"
