"""The metric of the points of a front where all validation samples lack a modality."""

import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress

import torch

from nasfuse.errors import CheckpointError, RunFolderError
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.point_networks import PointNetwork, point_networks
from nasfuse.experiment.robustness_file import Robustness, read_robustness, write_robustness
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig
from nasfuse.train import predict_digests
from nasfuse.train.cross_validation import pooled_score

#: Seconds that the points measured at the end of a search may take by their latency; batches of samples take about a
#: tenth of that.
_SECONDS = 60.0


def measure_robustness(
    folder: RunFolder, study: StudyConfig, front: Iterable[Candidate], *, device: torch.device
) -> list[Robustness]:
    """Returns the members of a front without each modality of the data.

    Left out are ensembles, and points whose network is not in the folder any more.

    Args:
        folder: Folder of the run.
        study: Its configuration.
        front: Members of its front.
        device: Device of the networks.
    """
    return [
        _measured(study, member, networks, device)
        for member in front
        if (networks := point_networks(folder, study, member, device=device))
    ]


def _measured(study: StudyConfig, member: Candidate, parts: Sequence[PointNetwork], device: torch.device) -> Robustness:
    n_pooled = 1 if study.data.validation is None else study.data.validation.folds
    objective, task = study.objective, study.data.task

    def metric(*absent: str) -> float:
        splits = [part.dataset.val.without(*absent) for part in parts]
        digests = [
            predict_digests(part.saved.network, split, task=task, device=device)
            for part, split in zip(parts, splits, strict=True)
        ]
        return statistics.fmean(
            pooled_score(objective, digests[start : start + n_pooled], splits[start : start + n_pooled], task=task)
            for start in range(0, len(parts), n_pooled)
        )

    first, own = parts[0].saved.network, metric()
    read = first.stream_names
    return Robustness(
        label=member.label,
        metric=own,
        without={name: metric(name) if name in read else own for name in parts[0].dataset.val.columns},
        by_mean=tuple(name for name in read if name not in first.placeholders),
    )


def keep_robustness(folder: RunFolder, study: StudyConfig, front: Sequence[Candidate]) -> None:
    """Writes the members of a front without each modality into the folder of a run, for `read_robustness`.

    Members that are in the file already are not measured again. So that this takes seconds, only as many are measured,
    cheapest first, as can be within `_SECONDS` by their latency; `nasfuse pareto --robust` measures all. Nothing is
    written for data of one modality.

    Raises:
        MissingFileError: The data of the study are not there.
    """
    try:
        known = dict(read_robustness(folder))
    except RunFolderError:  # it is written again
        known = {}
    new = [member for member in front if member.label not in known]
    if not new:
        return
    dataset = cached_dataset(study.data.model_dump_json())
    n_trainings = 1 if study.data.validation is None else study.data.validation.n_trainings
    n_samples = (1 + len(dataset.modalities)) * n_trainings * len(dataset.val)
    left, found = _SECONDS, list[Robustness]()
    for member in new if len(dataset.modalities) > 1 else []:
        left -= member.measured.latency_s * n_samples
        if left < 0:
            break
        with suppress(CheckpointError):  # a damaged file is a matter of those who need its network
            found += measure_robustness(folder, study, [member], device=torch.device("cpu"))
    if found:
        write_robustness(folder, [*known.values(), *found])
