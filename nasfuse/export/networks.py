"""The trained networks of an operating point, as the search has left them."""

from dataclasses import dataclass
from pathlib import Path

import torch

from nasfuse.errors import RunFolderError
from nasfuse.experiment.run_reader import Run
from nasfuse.prediction import NetworkAverage, Predictor, load_network
from nasfuse.search.front import Candidate
from nasfuse.train.sweep import set_network


@dataclass(frozen=True)
class PointNetwork:
    """A network of an operating point.

    Attributes:
        file: Its `model.pt`.
        point: Index of the operating point in the file.
        settings: Settings of knobs in place of those in the file; a network of a fold has no other point than 0.
    """

    file: Path
    point: int
    settings: dict[str, float]


def networks_of(run: Run, chosen: Candidate) -> list[PointNetwork]:
    """Returns the networks of a point: one, or one for each fold of a cross-validation and each member of an ensemble.

    Raises:
        RunFolderError: The folder of the run has no network of it.
    """
    found: list[PointNetwork] = []
    for member in chosen.members or (chosen,):
        files = run.folder.networks(member.trial)
        if not files:
            raise RunFolderError(
                f"{run.folder.root} has no network of trial {member.label} any more; export the recipe of the point "
                "and train it, and name the model.pt of that training"
            )
        if len(files) == 1:
            found.append(PointNetwork(files[0], member.point, {}))
        else:
            found += [PointNetwork(file, 0, member.measured.settings) for file in files]
    return found


def trained_point(run: Run, chosen: Candidate, *, device: torch.device) -> Predictor:
    """Returns the network of a point, or the average of its networks.

    Raises:
        RunFolderError: See `networks_of`.
        CheckpointError: A file is damaged or of another version.
    """
    networks = []
    for one in networks_of(run, chosen):
        networks.append(load_network(one.file, point=one.point, device=device))
        set_network(networks[-1].network, one.settings)
    return networks[0] if len(networks) == 1 else NetworkAverage(networks)
