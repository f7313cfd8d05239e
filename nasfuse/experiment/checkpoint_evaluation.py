"""Evaluation of saved networks on a split of their training data, or on other data."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasfuse.cost.outside import outside_macs
from nasfuse.data import Dataset, Split, load_dataset
from nasfuse.data.input_scales import with_input_scales
from nasfuse.data.metadata import metadata_values
from nasfuse.data.target_scale import with_target_scale
from nasfuse.domain.metric import METRICS
from nasfuse.domain.task import TASKS
from nasfuse.errors import DataError, InvalidInputError, nearest
from nasfuse.experiment.idle_settings import data_warnings_once
from nasfuse.experiment.metadata_groups import (
    group_figures,
    measured_digests,
    measured_routes,
    raw_metadata,
)
from nasfuse.experiment.objective import cached_dataset
from nasfuse.nn import Network, RoutedNetwork
from nasfuse.prediction import SavedNetwork, read_network
from nasfuse.prediction.labelled_data import labelled_data
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import SHIPPED_SOURCES, located
from nasfuse.spec.ensemble import AnyRecipe
from nasfuse.tasks import task_kind
from nasfuse.train import measured_macs, predict_digests, tabulate_routes
from nasfuse.train.calibration_error import calibration_error
from nasfuse.train.class_figures import class_figures
from nasfuse.train.metrics import score
from nasfuse.train.route_table import RouteTable


@dataclass(frozen=True)
class _Samples:
    """Samples on which a network is evaluated.

    Attributes:
        split: Name of the split in results; `all` for data without splits.
        part: The samples.
        dataset: Data set of the samples, with the lengths over which MACs are averaged.
        source: Data set or file that was read.
        fingerprint: Fingerprint of all its samples.
        problems: Rows that cannot be used.
    """

    split: str
    part: Split
    dataset: Dataset
    source: str
    fingerprint: str
    problems: dict[int, str]


def evaluate_checkpoint(
    path: Path,
    *,
    split: str | None = None,
    device: torch.device,
    source: str | None = None,
    point: int = 0,
    without: Sequence[str] = (),
    by: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns metric, loss, calibration error, MACs and figures by class of a saved network.

    Inputs and targets are standardised by the scales in the checkpoint, and classes are those of the training, of which
    the data need not have all. The loss of a regression is that of standardised numbers. There is a `warning` if the
    data differ from those that the network was trained with, and a `macs_note` if the MACs may differ for that reason.

    Args:
        path: Path of the checkpoint.
        split: `train`, `val` or `test`. Default: `test`, or all samples of other data without splits.
        device: Device of the evaluation.
        source: Data that replace those in the checkpoint, with the same modalities.
        point: Index of the operating point; 0 is the network's own setting.
        without: Modalities that all samples lack. In the result, `without` says for each what stands for it: the
            learned `placeholder` of the network, or the `mean` of the training data in a network that has none.
        by: Columns of the data that are no inputs, by whose values `by` of the result has figures; see `GroupFigures`.

    Raises:
        MissingFileError: The checkpoint or the data do not exist.
        CheckpointError: The checkpoint is damaged, or its weights do not match its recipe.
        InvalidInputError: The checkpoint has no such point, the data no such split, or the network reads none of
            `without` or nothing else.
        DataError: The data violate the data format, or have classes that the network does not know.
    """
    saved = read_network(path, point=point, device=device)
    network, recipe = saved.network, saved.recipe
    data = recipe.data.at(source) if source is not None else _located(recipe.data, path)
    with data_warnings_once(told=source is None):  # by the training
        samples = _samples(saved, data, split, is_other=source is not None)
    stands_in = _stands_in(network, without)
    part, dataset = samples.part.without(*stands_in), samples.dataset
    if not len(part):
        raise InvalidInputError(
            f"the network in {path} was trained on all samples outside test (data.validation), so there are none in "
            f"{split}; evaluate it on test"
        )
    values = _values_by(data, part, by)
    table = _route_table(network, recipe, part, dataset, device)
    macs, routes = _spent(network, table, part, dataset, device)
    digests = predict_digests(network, part, task=saved.task.kind, device=device)
    value, loss = _figures(recipe, digests, part)
    measured = measured_digests(
        digests,
        part.targets,
        metric=recipe.metric,
        task=saved.task.kind,
        target_scale=part.target_scale,
        macs=macs,
    )
    if table is not None and isinstance(network, RoutedNetwork):
        measured = measured_routes(table, float(network.threshold))
    groups = {name: [asdict(one) for one in group_figures(found, measured)] for name, found in values.items()}
    warning = _warning(samples, saved)
    outside = saved.preprocessing.outside_macs
    calibration = calibration_error(digests, part.targets, task=saved.task.kind)
    settings = saved.settings[point]
    unusable = {str(row): reason for row, reason in samples.problems.items()}
    return {
        "checkpoint": str(path),
        "data": samples.source,
        "data_fingerprint": samples.fingerprint,
        "trained_on_fingerprint": saved.content_fingerprint,
        **({"warning": warning} if warning else {}),
        "split": samples.split,
        "samples": len(part),
        **({"without": stands_in} if stands_in else {}),
        **({"unusable_rows": unusable} if unusable else {}),
        "metric": recipe.metric,
        "value": value,
        "loss": loss,
        **_other_metrics(recipe, digests, part),
        **({"calibration_error": calibration} if calibration is not None else {}),
        "by_class": class_figures(
            digests, part.targets, names=saved.output_names, task=saved.task.kind, target_scale=part.target_scale
        ),
        "macs": round(macs),
        **({"macs_note": note} if (note := _macs_note(samples, saved)) else {}),
        **({"outside_macs": outside_macs_of(network, outside, routes)} if outside else {}),
        **({"routes": routes} if routes else {}),
        **({"by": groups} if groups else {}),
        **({"settings": settings} if settings else {}),
        "recipe_hash": recipe.hash,
        "summary": recipe.summary,
        "val_metric_at_training": saved.val_metric,
        "test_metric_at_training": saved.test_metric,
    }


def samples_of_training(saved: SavedNetwork, split: str) -> tuple[Dataset, Split]:
    """Returns the data set of the training of a network, and its samples of a split, standardised as in the training.

    Raises:
        MissingFileError: The data do not exist any more.
        DataError: They have changed their form.
    """
    with data_warnings_once(told=True):
        samples = _samples(saved, _located(saved.recipe.data, saved.path), split, is_other=False)
    return samples.dataset, samples.part


def _stands_in(network: Network, without: Sequence[str]) -> dict[str, str]:
    """Returns what stands for each modality that all samples lack, `placeholder` or `mean`."""
    names = network.stream_names
    for name in without:
        if name not in names:
            raise InvalidInputError(f"--without: the network reads no modality {name!r}; {nearest(name, names)}")
    if set(without) >= set(names):
        raise InvalidInputError(
            f"--without: the network reads {' and '.join(names)} and nothing else, so nothing would be left; leave one"
        )
    return {name: "placeholder" if name in network.placeholders else "mean" for name in without}


def _located(data: DataConfig, path: Path) -> DataConfig:
    return DataConfig.parse(located({"data": data.to_plain()}, named_in=path)["data"])


def _samples(saved: SavedNetwork, data: DataConfig, split: str | None, *, is_other: bool) -> _Samples:
    """Returns the samples of `split`: of the training data as they were divided, or of other data."""
    if data.source in SHIPPED_SOURCES:
        return _of_training(_as_in_training(saved, data), data, split)
    if not is_other:
        with suppress(DataError):  # the file has changed
            dataset = _as_in_training(saved, data)
            if dataset.fingerprint == saved.data_fingerprint:
                return _of_training(dataset, data, split)
    other = labelled_data(saved, data)
    if other.content_fingerprint == saved.content_fingerprint:
        return _of_training(_as_in_training(saved, data), data, split)
    name, part = other.part(split)
    dataset = Dataset(
        name=data.source,
        modalities=saved.modalities,
        task=saved.task,
        train=part,
        val=part,
        test=part,
        fingerprint=other.content_fingerprint,
    )
    return _Samples(name, part, dataset, data.source, other.content_fingerprint, other.problems)


def _as_in_training(saved: SavedNetwork, data: DataConfig) -> Dataset:
    """Returns a data set with the division, the preprocessing and the scales of the training of a network.

    The preprocessing is not fitted to the data if the training started from another network (`train --init`).
    """
    dataset = cached_dataset(data.model_dump_json(), saved.division)
    if dataset.fingerprint != saved.data_fingerprint:
        transforms = saved.preprocessing.transforms
        dataset = load_dataset(data, division=saved.division, transforms=transforms)
    return with_target_scale(with_input_scales(dataset, saved.scales), saved.target_scale)


def _of_training(dataset: Dataset, data: DataConfig, split: str | None) -> _Samples:
    name = split or "test"
    return _Samples(name, dataset.split(name), dataset, data.source, dataset.content_fingerprint, {})


def _figures(recipe: AnyRecipe, digests: Tensor, part: Split) -> tuple[float, float]:
    """Returns the metric and the loss; NaN if an output is not finite."""
    if not torch.isfinite(digests).all():
        return float("nan"), float("nan")
    task = recipe.data.task
    value = score(recipe.metric, digests, part.targets, task=task, target_scale=part.target_scale)
    return value, float(task_kind(task).split_loss(digests, part.targets))


def _other_metrics(recipe: AnyRecipe, digests: Tensor, part: Split) -> dict[str, float]:
    """Returns the other metrics of a dense task, which are few and cost nothing more."""
    task = recipe.data.task
    if not TASKS[task].is_dense or not torch.isfinite(digests).all():
        return {}
    names = [one.name for one in METRICS.values() if task in one.tasks and one.name != recipe.metric]
    return {name: score(name, digests, part.targets, task=task) for name in names}


def _values_by(data: DataConfig, part: Split, by: Sequence[str]) -> dict[str, list[str]]:
    """Returns the values of each column of `by` for the samples."""
    if not by:
        return {}
    raw = raw_metadata(data, by)
    if part.rows is None:
        raise InvalidInputError(f"--by: the rows of {data.source} are not known; leave it out")
    return {name: metadata_values(raw, name, part.rows) for name in by}


def spent_macs(
    network: Network, recipe: AnyRecipe, part: Split, dataset: Dataset, device: torch.device
) -> tuple[float, dict[str, float]]:
    """Returns the expected MACs per sample of `part`, and the share of each route if there is a router."""
    return _spent(network, _route_table(network, recipe, part, dataset, device), part, dataset, device)


def _route_table(
    network: Network, recipe: AnyRecipe, part: Split, dataset: Dataset, device: torch.device
) -> RouteTable | None:
    if not isinstance(network, RoutedNetwork):
        return None
    return tabulate_routes(network, part, dataset, metric=recipe.metric, device=device)


def _spent(
    network: Network, table: RouteTable | None, part: Split, dataset: Dataset, device: torch.device
) -> tuple[float, dict[str, float]]:
    if table is None or not isinstance(network, RoutedNetwork):
        return measured_macs(network, part, dataset, device=device), {}
    routed = table.at(float(network.threshold))
    return routed.macs, dict(zip(network.route_names, routed.usage, strict=True))


def outside_macs_of(network: Network, macs: Mapping[str, int], routes: Mapping[str, float]) -> int:
    """Returns the expected MACs per sample of features that are computed outside of a network.

    Args:
        network: The network.
        macs: MACs of the features of each modality; empty if there are no such features.
        routes: Share of each route; empty for a static network.
    """
    if not macs or not isinstance(network, RoutedNetwork):
        return outside_macs(network, macs) if macs else 0
    return outside_macs(network, macs, usage=tuple(routes.values()), static=network.only_route())


def _macs_note(samples: _Samples, saved: SavedNetwork) -> str | None:
    """Returns why MACs may differ from those of the training: sequences of other data have other lengths."""
    transforms, names = saved.preprocessing.transforms, saved.network.stream_names
    has_lengths = any(transform.has_lengths for name, transform in transforms.items() if name in names)
    if samples.fingerprint == saved.content_fingerprint or not has_lengths:
        return None
    return (
        "these MACs are a mean over the sequence lengths of these samples; those of the search and of the training are "
        "a mean over the lengths in their train and val"
    )


def _warning(samples: _Samples, saved: SavedNetwork) -> str | None:
    """Returns a warning if the evaluation data differ from the training data of the network."""
    if samples.fingerprint == saved.content_fingerprint:
        return None
    return (
        f"these are other data than the network was trained with: {samples.source} has the fingerprint "
        f"{samples.fingerprint}, that of the training is {saved.content_fingerprint}; samples of this split may have "
        "been trained on, so the result may be too good"
    )
