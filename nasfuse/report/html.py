"""Report of a run as a self-contained HTML file."""

import shlex
from dataclasses import asdict
from pathlib import Path

from nasfuse.domain.cost import COSTS
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.damaged_part import read_part
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.plain_comparison import against_linear_model
from nasfuse.experiment.point_details import FrontDetails, read_details
from nasfuse.experiment.robustness_file import Robustness, read_robustness
from nasfuse.experiment.run_reader import Run
from nasfuse.report.environment import make_environment
from nasfuse.report.extracted import extracted_note
from nasfuse.report.front_chart import front_chart
from nasfuse.report.outside import outside_note
from nasfuse.report.panel import export_command, hand_made_designs, panel
from nasfuse.report.search_charts import hypervolume_charts, trials_chart
from nasfuse.search.history import HYPERVOLUME, hypervolume_history
from nasfuse.search.importance import LEAST_TRAININGS, parameter_importance
from nasfuse.search.picks import KNEE, picks
from nasfuse.search.spending import spending


def write_report(path: Path, run: Run) -> None:
    """Writes the interactive report of a run to one HTML file, which requests nothing.

    Warns:
        RunFolderWarning: The file of a part is damaged; the report is written without it.
    """
    is_searching = run.folder.is_locked()
    counts = run.progress.states.items()
    progress, folder = run.progress, run.folder.root
    chosen = list(picks(progress.front, run.objectives).values()) if progress.front else []
    details = read_part(read_details, run.folder) or FrontDetails()
    on_front = {member.trial for member in progress.front}
    lines = [line for trial, line in details.lines.items() if trial in on_front]
    hand_made = hand_made_designs(run)
    shown = {one.label: one for one in (*progress.front, *hand_made)}.values()
    search_charts = [*hypervolume_charts(hypervolume_history(run.trials, run.objectives)), trials_chart(run)]
    named_charts = {f"search{number}": chart for number, chart in enumerate(search_charts) if chart.series}
    page = (
        make_environment()
        .get_template("report.html")
        .render(
            study=run.study,
            objectives=run.objectives,
            cost_title=COSTS[run.objectives.cost].title,
            progress=progress,
            epochs=run.epochs_text,
            states=", ".join(f"{count} {_state(name, is_searching=is_searching)}" for name, count in counts if count),
            picks=chosen,
            lines=lines,
            knee=KNEE,
            hypervolume=HYPERVOLUME,
            command=lambda *choice: export_command(folder, *choice),
            checks=read_part(read_checks, run.folder) or [],
            plain=run.plain,
            against_linear=against_linear_model(progress.best, run.plain) if run.plain and progress.best else None,
            robustness=_robustness(run),
            robustness_command=shlex.join(["nasfuse", "pareto", str(folder), "--robust"]),
            outside=outside_note(progress.front, run.study.data),
            extracted=extracted_note(progress.front),
            hand_made=hand_made,
            search_charts=named_charts,
            spending=spending(run.trials),
            importance=list(parameter_importance(run.trials, run.objectives.metric).items())[:20],
            least_trainings=LEAST_TRAININGS,
            data={
                "charts": {
                    "front": asdict(front_chart(run, chosen, lines)),
                    **{name: asdict(chart) for name, chart in named_charts.items()},
                },
                "samples": {str(row): asdict(one) for row, one in details.samples.items()},
                "panels": {one.label: panel(run, one, details.points.get(one.label)) for one in shown},
                "export": export_command(folder, "--trial", "N").rsplit("N", 1),
            },
        )
    )
    write_text(path, page)


def _robustness(run: Run) -> list[Robustness]:
    """Returns the members of the front without each modality, as far as they have been measured."""
    known = read_part(read_robustness, run.folder) or {}
    return [known[member.label] for member in run.progress.front if member.label in known]


def _state(name: str, *, is_searching: bool) -> str:
    """Returns the name of a state for people; trials that run without a search are interrupted."""
    return "interrupted" if name == "running" and not is_searching else name.replace("_", " ")
