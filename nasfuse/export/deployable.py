"""The network that is deployed: that of a file, of a point of a run, or the members of an ensemble as one network."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from nasfuse.data import Scale, Split
from nasfuse.deployment import RawInput
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import Run
from nasfuse.export.networks import networks_of
from nasfuse.nn import RoutedNetwork
from nasfuse.nn.ensemble import EnsembleNetwork
from nasfuse.prediction import SavedNetwork, read_network
from nasfuse.search.front import Candidate

_CPU = torch.device("cpu")


def network_in_file(path: Path, *, point: int) -> SavedNetwork:
    """Returns the network of a `model.pt` at one of its operating points, on the CPU.

    Raises:
        MissingFileError: There is no such file.
        CheckpointError: The file is damaged or of another version.
        InvalidInputError: The network has no such point.
    """
    return read_network(path, point=point, device=_CPU)


def network_of_point(run: Run, chosen: Candidate) -> SavedNetwork:
    """Returns the network of a point of a run, on the CPU; the members of an ensemble are one network.

    Raises:
        RunFolderError: The folder of the run has no network of it.
        CheckpointError: A file is damaged or of another version.
        InvalidInputError: The point has a network for each fold of a cross-validation.
    """
    found = networks_of(run, chosen)
    if len(found) > max(len(chosen.members), 1):
        raise InvalidInputError(
            f"trial {chosen.label} was cross-validated and has a network for each fold, each with scales of its own, "
            "which are no single network; export its recipe with -o, train it, and export the model.pt of that training"
        )
    members = [read_network(one.file, point=one.point, device=_CPU) for one in found]
    return members[0] if len(members) == 1 else _ensemble(members, run, chosen)


def _ensemble(members: Sequence[SavedNetwork], run: Run, chosen: Candidate) -> SavedNetwork:
    first = members[0]
    if any(isinstance(one.network, RoutedNetwork) for one in members):
        raise InvalidInputError(
            f"ensemble {chosen.label} has a member with routes, and a bundle of an ensemble runs all of each member; "
            "choose another point with --trial"
        )
    for one in members[1:]:
        if not (_same(one.units, first.units) and _same(one.stored_scales, first.stored_scales)):
            raise InvalidInputError(
                f"the members of ensemble {chosen.label} standardise their inputs differently; export its recipe "
                "with -o, train it, and export the model.pt of that training"
            )
    network = EnsembleNetwork([one.network for one in members], task=first.task.kind).eval()
    return replace(first, network=network, recipe=run.recipe(chosen), settings=({},), point=0)


def _same(one: dict[str, Scale] | object, other: object) -> bool:
    assert isinstance(one, dict) and isinstance(other, dict)
    return one.keys() == other.keys() and all(
        scale.mean.equal(other[name].mean) and scale.std.equal(other[name].std) for name, scale in one.items()
    )


def raw_inputs_of(saved: SavedNetwork, samples: Split | None = None) -> tuple[RawInput, ...]:
    """Returns the modalities that a network reads, with their scales.

    Args:
        saved: The network.
        samples: Samples of its data, which tell whether sequences have lengths where the preprocessing does not.
    """
    return tuple(
        RawInput(
            modality,
            has_lengths=modality.kind == "sequence"
            and (
                saved.preprocessing.transforms[name].has_lengths
                or (samples is not None and samples.columns[name].lengths is not None)
            ),
            can_be_absent=name in saved.can_be_absent,
            unit=saved.units.get(name),
            stored_scale=saved.stored_scales.get(name),
        )
        for name, modality in saved.inputs.items()
    )
