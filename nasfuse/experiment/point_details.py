"""What single points of a front do on validation data: figures by class, errors, routes and solver steps."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from nasfuse.data import Dataset, RawTable, Split
from nasfuse.data.metadata import metadata_values
from nasfuse.data.progress import tracked
from nasfuse.domain.knob import CHOICE_KNOBS
from nasfuse.errors import CheckpointError, DataError, RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.countdown import Countdown
from nasfuse.experiment.label_pictures import PredictedMap, SamplePicture, predicted_maps, sample_pictures
from nasfuse.experiment.metadata_groups import (
    GroupFigures,
    Measured,
    group_figures,
    measured_digests,
    measured_routes,
    raw_metadata,
)
from nasfuse.experiment.point_networks import PointNetwork, point_networks
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.nn import RoutedNetwork
from nasfuse.nn.equilibrium import equilibrium_layers, listening
from nasfuse.search.front import Candidate
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.spec.study import StudyConfig
from nasfuse.tasks import task_kind
from nasfuse.train import predict_digests, tabulate_routes
from nasfuse.train.class_figures import class_figures
from nasfuse.train.cross_validation import pooled
from nasfuse.train.route_table import RouteTable
from nasfuse.train.router_baselines import confidence_cascade, random_mix, static_routes

#: Classes up to which a confusion matrix is kept.
_MOST_CLASSES = 40

#: Samples of which target and prediction are kept, of a regression.
_MOST_RESIDUALS = 200

#: Seconds that a network may take by its latency, and samples on which it is run however long that takes.
_SECONDS, _LEAST_SAMPLES = 1.0, 300

#: Points of the lines of routes without the router.
_N_LINE = 9

#: Samples with pictures, which points with other validation samples may add.
_MOST_PICTURED = 12

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class PointDetails:
    """What the first training of a point does on its validation data.

    Attributes:
        label: Label of the point.
        samples: Number of validation samples that it was run on; with cross-validation those of all folds.
        by_class: Figures of each output, as `class_figures` returns them.
        confusion: Number of samples, or of labelled pixels, by true class and predicted class; None for other tasks, or
            with many classes.
        residuals: Target and prediction of up to 200 samples for each output of a regression; None for other tasks.
        routes: Share of the samples on each route; empty for a static network.
        steps: Solve to the number of states by solver steps; empty without an equilibrium.
        groups: Column of `data.metadata` to the figures of the samples with each of its values.
        maps: Row of a sample to the label maps that each route predicts; empty for other tasks.
    """

    label: str
    samples: int
    by_class: list[dict[str, Any]]
    confusion: list[list[int]] | None = None
    residuals: list[list[tuple[float, float]]] | None = None
    routes: dict[str, float] = field(default_factory=dict)
    steps: dict[str, dict[int, int]] = field(default_factory=dict)
    groups: dict[str, list[GroupFigures]] = field(default_factory=dict)
    maps: dict[int, list[PredictedMap]] = field(default_factory=dict)


@dataclass(frozen=True)
class RouteLines:
    """The routes of a training without its router, as (MACs, metric) on its validation data, cheapest first.

    Attributes:
        trial: Number of the training.
        random_mix: All samples on the cheapest route up to all on the costliest, chosen at random.
        cascade: The same, chosen by the confidence of the cheapest route; empty where the task has none.
    """

    trial: int
    random_mix: list[tuple[float, float]]
    cascade: list[tuple[float, float]]


@dataclass(frozen=True)
class FrontDetails:
    """Details of the points of a front.

    Attributes:
        points: Label of a point to its details.
        lines: Number of a training to its routes without the router.
        samples: Row of a sample to its pictures, for the maps of the points; empty without label maps.
    """

    points: dict[str, PointDetails] = field(default_factory=dict)
    lines: dict[int, RouteLines] = field(default_factory=dict)
    samples: dict[int, SamplePicture] = field(default_factory=dict)


def keep_details(folder: RunFolder, study: StudyConfig, front: Sequence[Candidate], *, countdown: Countdown) -> int:
    """Writes the details of the members of a front into the folder of the run, for `read_details`.

    Members that are in the file already are not measured again, because the network of a training does not change.
    Ensembles and points whose network is damaged or not in the folder any more are left out. So that this takes
    seconds, a network is run on as many validation samples, evenly chosen, as it can by its latency in `_SECONDS`.

    Returns:
        The number of members for which there was no time.

    Raises:
        MissingFileError: The data of the study are not there.
    """
    try:
        known = read_details(folder)
    except RunFolderError:  # it is written again
        known = FrontDetails()
    points, lines, samples = dict(known.points), dict(known.lines), dict(known.samples)
    tables: dict[object, tuple[Dataset, RouteTable]] = {}
    metadata = _metadata(study)

    def add(member: Candidate) -> None:
        parts = _parts(folder, study, member)
        if not parts:
            return
        if not isinstance(parts[0].saved.network, RoutedNetwork):
            digests = [_digests(part, part.dataset.val) for part in parts]
            details = _details(member.label, parts, digests)
            groups = _static_groups(study, member, parts, digests, metadata)
            points[member.label] = _with_pictures(replace(details, groups=groups), parts[0], samples)
            return
        network = parts[0].saved.network
        setting = (
            member.trial,
            frozenset(item for item in member.measured.settings.items() if item[0] not in CHOICE_KNOBS),
        )
        if setting not in tables:  # points that differ in the choice of routes alone share it
            tables[setting] = (parts[0].dataset, _table(study, network, parts[0].dataset))
        dataset, table = tables[setting][0], tables[setting][1].set_to(network.always)
        part = PointNetwork(parts[0].saved, dataset)
        threshold = float(network.threshold)
        details = _routed_details(member.label, part, table, threshold)
        groups = _groups([dataset.val], measured_routes(table, threshold), metadata)
        points[member.label] = _with_pictures(replace(details, groups=groups), part, samples)
        if member.trial not in lines:
            with suppress(DataError):  # the metric may be undefined on some of the samples
                lines[member.trial] = _lines(member.trial, network, dataset, table)

    new = [member for member in front if member.label not in points]
    n_done = len(tracked("figures of points", map(add, countdown.while_left(new)), total=len(new)))
    if points.keys() != known.points.keys():
        write_text(folder.details_file, json.dumps(asdict(FrontDetails(points, lines, samples))))
    return len(new) - n_done


def _parts(folder: RunFolder, study: StudyConfig, member: Candidate) -> list[PointNetwork]:
    """Returns the networks of a point, of the first division into folds, with some of their validation samples."""
    validation = study.data.validation
    try:
        parts = point_networks(folder, study, member, device=_CPU)
    except CheckpointError:  # a damaged file is a matter of those who need its network
        return []
    parts = parts if validation is None else parts[: validation.folds]
    most = max(_LEAST_SAMPLES, int(_SECONDS / member.measured.latency_s)) // max(len(parts), 1)
    return [PointNetwork(part.saved, replace(part.dataset, val=_some(part.dataset.val, most))) for part in parts]


def _some(split: Split, most: int) -> Split:
    """Returns at most `most` samples of a split, evenly chosen."""
    return split if len(split) <= most else split.of_samples(torch.linspace(0, len(split) - 1, most).long())


def _details(label: str, parts: Sequence[PointNetwork], digests: Sequence[Tensor]) -> PointDetails:
    splits = [part.dataset.val for part in parts]
    together, targets = pooled(digests, splits)
    task, scale, names = parts[0].saved.task, splits[0].target_scale, parts[0].saved.output_names
    kind = task_kind(task.kind)
    residuals = None
    counts = kind.confusion(together, targets) if len(names) <= _MOST_CLASSES else None
    if scale is not None:
        guess = kind.predict(together)
        both = [(part * scale.std + scale.mean).reshape(len(targets), -1) for part in (targets, guess)]
        rows = torch.linspace(0, len(targets) - 1, min(len(targets), _MOST_RESIDUALS)).long()
        residuals = [list(zip(*(_rounded(one[rows, k]) for one in both), strict=True)) for k in range(len(names))]
    return PointDetails(
        label=label,
        samples=len(targets),
        by_class=class_figures(together, targets, names=names, task=task.kind, target_scale=scale),
        confusion=None if counts is None else counts.tolist(),
        residuals=residuals,
        steps=_steps(parts),
    )


def _digests(part: PointNetwork, split: Split) -> Tensor:
    return predict_digests(part.saved.network, split, task=part.saved.task.kind, device=_CPU)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]


def _routed_details(label: str, part: PointNetwork, table: RouteTable, threshold: float) -> PointDetails:
    chosen = table.chosen(threshold)
    details = _details(label, [part], [table.digests_of(chosen)])
    usage = torch.bincount(chosen, minlength=len(table.names)).double() / len(chosen)
    return replace(details, routes=dict(zip(table.names, usage.tolist(), strict=True)))


def _metadata(study: StudyConfig) -> dict[str, RawTable]:
    """Returns the columns of metadata, each with the data that has it; a shipped data set has none."""
    names = () if study.data.source in SHIPPED_SOURCES else study.data.metadata
    return dict.fromkeys(names, raw_metadata(study.data, names)) if names else {}


def _static_groups(
    study: StudyConfig,
    member: Candidate,
    parts: Sequence[PointNetwork],
    digests: Sequence[Tensor],
    metadata: Mapping[str, RawTable],
) -> dict[str, list[GroupFigures]]:
    splits = [part.dataset.val for part in parts]
    together, targets = pooled(digests, splits)
    measured = measured_digests(
        together,
        targets,
        metric=study.objective,
        task=study.data.task,
        target_scale=splits[0].target_scale,
        macs=member.measured.macs,
    )
    return _groups(splits, measured, metadata)


def _groups(
    splits: Sequence[Split], measured: Measured, metadata: Mapping[str, RawTable]
) -> dict[str, list[GroupFigures]]:
    """Returns the figures by value of each column of metadata; of samples whose rows are not known there are none."""
    rows = [split.rows for split in splits if split.rows is not None]
    if len(rows) < len(splits):
        return {}
    return {
        name: group_figures(metadata_values(raw, name, torch.cat(rows)), measured) for name, raw in metadata.items()
    }


def _with_pictures(details: PointDetails, part: PointNetwork, samples: dict[int, SamplePicture]) -> PointDetails:
    """Returns the details with predicted label maps of a few samples, whose pictures are added to `samples`."""
    saved, dataset = part.saved, part.dataset
    if dataset.task.size is None:
        return details
    config = saved.recipe.data
    maps = predicted_maps(
        saved.network,
        dataset.val,
        config,
        task=dataset.task.kind,
        n_classes=dataset.task.n_outputs,
        device=_CPU,
    )
    for row, pictures in sample_pictures(dataset, dataset.val, config).items():
        if len(samples) < _MOST_PICTURED:
            samples.setdefault(row, pictures)
    return replace(details, maps={row: found for row, found in maps.items() if row in samples})


def _steps(parts: Sequence[PointNetwork]) -> dict[str, dict[int, int]]:
    """Returns solve to the number of states by the steps of their solves, on some validation samples."""
    counts: dict[str, Counter[int]] = {}
    for part in parts:
        layers = equilibrium_layers(part.saved.network)
        if layers:
            with listening(layers) as solves:
                _digests(part, _some(part.dataset.val, _LEAST_SAMPLES))
            for solved in solves:
                counts.setdefault(solved.name, Counter()).update(solved.solution.n_steps.tolist())
    return {name: dict(sorted(count.items())) for name, count in counts.items()}


def _lines(trial: int, network: RoutedNetwork, dataset: Dataset, table: RouteTable) -> RouteLines:
    ends = [macs for macs, _ in static_routes(table)]
    costs = [min(ends) + (max(ends) - min(ends)) * step / (_N_LINE - 1) for step in range(_N_LINE)]
    return RouteLines(
        trial=trial,
        random_mix=[(macs, random_mix(table, macs, seed=0)[0]) for macs in costs],
        cascade=confidence_cascade(table, network, dataset.val, dataset, n_points=_N_LINE),
    )


def _table(study: StudyConfig, network: RoutedNetwork, dataset: Dataset) -> RouteTable:
    return tabulate_routes(network, dataset.val, dataset, metric=study.objective, device=_CPU)


def read_details(folder: RunFolder) -> FrontDetails:
    """Returns what `keep_details` wrote; empty before that.

    Raises:
        RunFolderError: The file is damaged.
    """
    if not folder.details_file.is_file():
        return FrontDetails()
    try:
        content: Mapping[str, Any] = json.loads(folder.details_file.read_text(encoding="utf-8"))
        found: FrontDetails = TypeAdapter(FrontDetails).validate_python(content)
        return found
    except ValueError as error:
        raise RunFolderError(
            f"{folder.details_file} is damaged; remove it, and `nasfuse report` writes it again"
        ) from error
