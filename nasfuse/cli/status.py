"""`nasfuse status`: the progress of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasfuse.domain.metric import metric_text
from nasfuse.errors import counted

if TYPE_CHECKING:
    from nasfuse.experiment.run_reader import Run
    from nasfuse.search.front import Candidate


def status(
    run: Annotated[Path, typer.Argument(help="Folder of a search, for example runs/mine.")],
    watch: Annotated[bool, typer.Option(help="Follow a running search on the screen until it ends or Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the progress as JSON.")] = False,
) -> None:
    """Show the progress of a run: trials by state, epochs, hypervolume, best result, time per suggestion.

    --watch shows it while a search runs, with what is trained now and the time left, and at its end as without it.
    """
    from nasfuse.cli.console import err, out, print_json, print_labelled
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.experiment.run_reader import read_run

    folder = RunFolder(run)
    if watch:
        from nasfuse.cli.watch import watch as watch_run

        found = watch_run(lambda: read_run(folder, with_parameters=False), err)
    else:
        found = read_run(folder, with_parameters=False)
    if as_json:
        print_json(_document(found))
    else:
        print_labelled(out, _lines(found, _document(found)), width=24)


def _document(run: "Run") -> dict[str, Any]:
    progress = run.progress
    best = progress.best
    return {
        "study": run.study.name,
        "searching": run.searching,
        "trials": progress.states,
        **({"above_max_macs": progress.n_above_limit} if progress.n_above_limit else {}),
        "epochs": {
            "spent": progress.epochs_spent,
            "saved": progress.epochs_saved,
            "under_way": run.epochs_under_way,
        },
        **({"inherited": progress.inherited} if run.study.inherit else {}),
        "hypervolume": progress.hypervolume,
        "reference": list(run.objectives.reference),
        "seconds_per_suggestion": progress.seconds_per_suggestion,
        "front_points": len(progress.front),
        "best": _plain(best) if best else None,
        "failures": {str(number): reason for number, reason in progress.reasons.items()},
    }


def _plain(best: "Candidate") -> dict[str, Any]:
    measured = best.measured
    return {
        "trial": best.trial,
        "point": best.point,
        "label": best.label,
        "metric": measured.metric,
        "macs": measured.macs,
    }


def _lines(run: "Run", document: dict[str, Any]) -> list[tuple[str, str]]:
    best = document["best"]
    wait = document["seconds_per_suggestion"]
    leader = f"{metric_text(best['metric'])} at {best['macs']:,} MACs, trial {best['label']}" if best else "none yet"
    lines = [
        ("study", document["study"]),
        ("trials", ", ".join(f"{n} {_state(name, document)}" for name, n in document["trials"].items() if n)),
        ("epochs", run.epochs_text),
        ("front", f"{counted(document['front_points'], 'point')}, hypervolume {metric_text(document['hypervolume'])}"),
        ("best", leader),
        ("per suggestion", f"{wait:.3f} s" if wait is not None else "no suggestion yet"),
    ]
    if "above_max_macs" in document:
        lines.append(("complete above max_macs", str(document["above_max_macs"])))
    if "inherited" in document:
        lines.append(("trainings that inherited", str(document["inherited"])))
    return lines + [(f"trial {number} failed", reason) for number, reason in document["failures"].items()]


def _state(name: str, document: dict[str, Any]) -> str:
    """Returns the text of a state; running trials are called interrupted if no search is active."""
    if name == "running" and not document["searching"]:
        return "interrupted (the same search command continues them)"
    return name.replace("_", " ")
