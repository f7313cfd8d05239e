"""The networks of a point of a front, with their validation data."""

from dataclasses import dataclass

import torch

from nasfuse.data import Dataset
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.prediction import SavedNetwork, read_network
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig
from nasfuse.train.sweep import set_network


@dataclass(frozen=True)
class PointNetwork:
    """A network at the setting of a point, and its data: one training, or one fold of a cross-validation.

    Attributes:
        saved: The network.
        dataset: Data whose `val` the network was not trained on.
    """

    saved: SavedNetwork
    dataset: Dataset


def point_networks(
    folder: RunFolder, study: StudyConfig, member: Candidate, *, device: torch.device
) -> list[PointNetwork]:
    """Returns the networks of the first training of a point; none for an ensemble, or if they are not in the folder."""
    if member.members:
        return []
    files, config = folder.networks(member.trial), study.data.model_dump_json()
    found = []
    for file in files:
        saved = read_network(file, point=member.point if len(files) == 1 else 0, device=device)
        if len(files) > 1:
            set_network(saved.network, member.measured.settings)
        found.append(PointNetwork(saved, cached_dataset(config, saved.division)))
    return found
