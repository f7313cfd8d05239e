"""The metric of the points of a front where all validation samples lack a modality."""

import statistics
from collections.abc import Iterable, Sequence
from itertools import chain, takewhile

import torch

from nasfuse.data.progress import tracked
from nasfuse.errors import CheckpointError, RunFolderError
from nasfuse.experiment.countdown import Countdown
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.point_networks import PointNetwork, point_networks
from nasfuse.experiment.robustness_file import Robustness, read_robustness, write_robustness
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig
from nasfuse.train import predict_digests
from nasfuse.train.cross_validation import pooled_score

#: Time of a sample in a batch as a share of the latency of a network.
_SHARE_IN_BATCHES = 0.1


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


def keep_robustness(folder: RunFolder, study: StudyConfig, front: Sequence[Candidate], *, countdown: Countdown) -> int:
    """Writes the members of a front without each modality into the folder of a run, for `read_robustness`.

    Members that are in the file already are not measured again. Only as many are measured, in their order, as there is
    time for by their latency. Nothing is written for data of one modality.

    Returns:
        The number of members for which there was no time.

    Raises:
        MissingFileError: The data of the study are not there.
    """
    try:
        known = dict(read_robustness(folder))
    except RunFolderError:  # it is written again
        known = {}
    new = [member for member in front if member.label not in known]
    if not new:
        return 0
    dataset = cached_dataset(study.data.model_dump_json())
    n_trainings = 1 if study.data.validation is None else study.data.validation.n_trainings
    n_samples = (1 + len(dataset.modalities)) * n_trainings * len(dataset.val)
    new = new if len(dataset.modalities) > 1 else []

    def fits(member: Candidate) -> bool:
        return countdown.has(_SHARE_IN_BATCHES * member.measured.latency_s * n_samples)

    def measured(member: Candidate) -> list[Robustness]:
        try:
            return measure_robustness(folder, study, [member], device=torch.device("cpu"))
        except CheckpointError:  # a damaged file is a matter of those who need its network
            return []

    found = tracked("points without each modality", map(measured, takewhile(fits, new)), total=len(new))
    if any(found):
        write_robustness(folder, [*known.values(), *chain.from_iterable(found)])
    return len(new) - len(found)
