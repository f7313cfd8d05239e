"""The error of a search that ended without a point on its front."""

from nasfuse.errors import NoResultError, counted
from nasfuse.search.progress import Progress
from nasfuse.spec.study import StudyConfig


def no_result(progress: Progress, study: StudyConfig) -> NoResultError:
    """Returns the error that says why a search that has ended has no front, and what to do."""
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
    failed, stopped = progress.states["failed"], progress.states["stopped"] + progress.states["out_of_time"]
    first = next(iter(progress.reasons.items()), None)
    if first is not None:
        share = f"all {failed} trials" if failed > 1 else "the only trial"
        why = f"{share} failed, trial {first[0]} because {first[1]}"
        if stopped:
            why = f"{counted(failed, 'trial')} failed and {stopped} stopped, trial {first[0]} because {first[1]}"
    elif stopped:
        why = f"{counted(stopped, 'trial')} stopped, and none was trained to its end; raise --trials or --minutes"
    else:
        why = "no trial has ended; raise --trials or --minutes"
    return NoResultError(f"the search ended without a result: {why}")
