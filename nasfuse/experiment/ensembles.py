"""Ensembles of a search: chosen at its end from members of the front, by their predictions on validation data."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nasfuse.data import Dataset, Split
from nasfuse.domain.knob import parted
from nasfuse.experiment.ensembles_file import write_ensembles
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.nn import build_network
from nasfuse.nn.elastic import cut_out
from nasfuse.nn.knob import set_knobs
from nasfuse.search.ensembles import Ensemble
from nasfuse.search.front import Candidate, Objectives, allowed_candidates, front_of
from nasfuse.search.trial import TrialView
from nasfuse.seeds import derive_seed
from nasfuse.spec.data import DataConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig
from nasfuse.train import load_checkpoint, predict_logits
from nasfuse.train.cross_validation import pooled
from nasfuse.train.ensemble_selection import EnsembleSelection, Predictions

#: Folds of the validation samples, for the metric of an ensemble.
_N_FOLDS = 5

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Member:
    """A point of the front, with its recipe and its trainings by division."""

    candidate: Candidate
    recipe: Recipe
    trials: Mapping[int, TrialView]

    @property
    def n_divisions(self) -> int:
        """Number of divisions from the first on for which there is a training."""
        return next(number for number in range(len(self.trials) + 1) if number not in self.trials)


def update_ensembles(
    folder: RunFolder, study: StudyConfig, trials: Sequence[TrialView], objectives: Objectives
) -> list[Candidate]:
    """Chooses ensembles and writes those that are on the front, for `read_ensembles`; returns the front with them.

    For the arguments see `choose_ensembles`.
    """
    candidates = allowed_candidates(trials, objectives)
    front = front_of(candidates, objectives)
    found = choose_ensembles(folder, study, trials, front) if study.ensembles > 1 else []
    if not found:
        folder.ensembles_file.unlink(missing_ok=True)
        return front
    by_label = {one.candidate().label: one for one in found if one.candidate().measured.is_within(objectives.max_macs)}
    front = front_of([*candidates, *(one.candidate() for one in by_label.values())], objectives)
    write_ensembles(folder, [by_label[one.label] for one in front if one.members])
    return front


def choose_ensembles(
    folder: RunFolder, study: StudyConfig, trials: Sequence[TrialView], front: Sequence[Candidate]
) -> list[Ensemble]:
    """Returns ensembles of members of `front`, at most `study.ensembles` networks each, by their predictions.

    For every member, networks that cost less are added to it one by one, see `EnsembleSelection`. Members are static
    networks. All must have predicted the same samples, so those with fewer trainings than the median are left out.

    Args:
        folder: Folder of the run, with the networks.
        study: Its configuration.
        trials: All its trials.
        front: Members of its front, cheapest first.
    """
    members = _on_the_same_divisions(_static_members(folder, trials, front))
    if len(members) < 2:
        return []
    n_divisions = min(member.n_divisions for member in members)
    predictions = [one for number in range(n_divisions) for one in _predictions(folder, study, members, number)]
    selection = EnsembleSelection(
        predictions,
        metric=study.objective,
        task=study.data.task,
        reported=study.metric if study.metric != study.objective else None,
    )

    def by_division(values: Sequence[float]) -> tuple[float, ...]:
        """Returns the means over repeats of folds."""
        return tuple(np.reshape(values, (n_divisions, -1)).mean(axis=1).tolist()) if values else ()

    found = []
    for first in range(1, len(members)):
        for chosen in selection.select(first, range(first), most=study.ensembles):
            own = tuple(members[k].candidate for k in chosen.members)
            found.append(Ensemble(own, by_division(chosen.metrics), by_division(chosen.reported)))
    return found


def _static_members(folder: RunFolder, trials: Sequence[TrialView], front: Sequence[Candidate]) -> list[_Member]:
    found = []
    for candidate in front:
        own = {trials[number].division: trials[number] for number in candidate.trainings}
        if not all(any(folder.trial(trial.number).glob("**/model.pt")) for trial in own.values()):
            continue
        recipe = folder.recipe(candidate.trial)
        if recipe.network.router is None:
            found.append(_Member(candidate, recipe, own))
    return found


def _on_the_same_divisions(members: Sequence[_Member]) -> list[_Member]:
    """Returns the members with at least the median number of divisions, half of all or more."""
    if not members:
        return []
    least = statistics.median_low(member.n_divisions for member in members)
    return [member for member in members if member.n_divisions >= max(least, 1)]


def _predictions(
    folder: RunFolder, study: StudyConfig, members: Sequence[_Member], division: int
) -> Iterator[Predictions]:
    """Yields the predictions of one training of each member; several if a cross-validation is repeated."""
    seed = derive_seed(study.seed, "ensembles")
    places = [folder.trial(member.trials[division].number) for member in members]
    for parts in _validation_parts(study.data, division):
        splits = [dataset.val for dataset in parts.values()]
        outputs = [
            [_outputs(member, place / name, dataset) for name, dataset in parts.items()]
            for member, place in zip(members, places, strict=True)
        ]
        yield Predictions(
            outputs=torch.stack([pooled(of_member, splits)[0] for of_member in outputs]),
            targets=pooled(outputs[0], splits)[1],
            folds=torch.cat([_folds(split, seed=seed) for split in splits]),
            target_scale=splits[0].target_scale,
        )


def _validation_parts(data: DataConfig, division: int) -> Iterator[dict[str, Dataset]]:
    """Yields the data sets whose validation samples are judged together, by the folder of their network in a trial.

    It is one data set, with the network in the folder of the trial itself, or for each repeat of a cross-validation
    those of its folds.
    """
    config = data.model_dump_json()
    if data.validation is None:
        yield {"": cached_dataset(config, division)}
        return
    first, n_folds = division * data.validation.n_trainings, data.validation.folds
    for repeat in range(data.validation.repeats):
        numbers = range(repeat * n_folds, (repeat + 1) * n_folds)
        yield {f"fold{number}": cached_dataset(config, first + number) for number in numbers}


def _outputs(member: _Member, place: Path, dataset: Dataset) -> Tensor:
    """Returns the (n, n_outputs) outputs of a trained network at the setting of the member on its validation data."""
    recipe = member.recipe
    network = build_network(recipe.network, dataset.modalities, dataset.task, drops=recipe.drops_modalities)
    network.load_state_dict(load_checkpoint(place / "model.pt")["network"])
    elastic, others = parted(member.candidate.measured.settings)
    if elastic:
        drops = recipe.drops_modalities
        network = cut_out(network, recipe.network, elastic, dataset.modalities, dataset.task, drops=drops)
    set_knobs(network.knobs(), others)
    return predict_logits(network, dataset.val, device=_CPU)


def _folds(split: Split, *, seed: int) -> Tensor:
    """Returns the (n,) folds of samples: the same for a sample, or for all of a group, in every division."""
    if split.groups is not None:
        keys = split.groups[:, None]
    else:  # the rows of its inputs
        every = torch.arange(len(split))
        keys = torch.stack([every if one.index is None else one.index for one in split.columns.values()], dim=1)
    return torch.tensor([derive_seed(seed, f"fold of {key}") % _N_FOLDS for key in keys.tolist()])
