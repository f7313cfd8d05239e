"""What a search shows of its front beside the results of trainings, measured at its end."""

import shlex
from collections.abc import Sequence

from nasfuse.errors import counted
from nasfuse.experiment.countdown import Countdown
from nasfuse.experiment.macs_check import check_front
from nasfuse.experiment.plain_models import keep_plain_scores
from nasfuse.experiment.point_details import keep_details
from nasfuse.experiment.robustness import keep_robustness
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig


def measure_front(
    folder: RunFolder, study: StudyConfig, front: Sequence[Candidate], *, countdown: Countdown
) -> str | None:
    """Measures the members of a front for as long as there is time, into files of the run folder.

    In this order: their MACs are counted, plain models are fitted beside them, figures of single points are computed
    for the report, and points are evaluated without each modality. What is in the folder already is not measured again.

    Args:
        folder: Folder of the run.
        study: Its configuration.
        front: Members of its front, cheapest first.
        countdown: Time for all of it.

    Returns:
        A sentence on what was left out, with the command that measures it; None if nothing was.

    Raises:
        MissingFileError: The data of the study are not there.
    """
    left_out = []
    if n_unchecked := check_front(folder, study, front, countdown=countdown):
        left_out.append(f"the count of MACs of {counted(n_unchecked, 'point')}")
    if front and not keep_plain_scores(folder, study, countdown=countdown):
        left_out.append("the linear model")
    if n_without := keep_details(folder, study, front, countdown=countdown):
        left_out.append(f"figures by class and the like of {counted(n_without, 'point')}")
    if n_without := keep_robustness(folder, study, front, countdown=countdown):
        left_out.append(f"{counted(n_without, 'point')} without each modality")
    if not left_out:
        return None
    command = f"nasfuse report {shlex.quote(str(folder.root))}"
    return f"the time for measuring the front is spent; left out: {', '.join(left_out)} (`{command}` measures all)"
