"""The sweep: a trained network at other settings of its knobs.

The settings depend on the recipe and on the shapes of the data alone, so all trainings of a recipe have the same points
and a study can take means over them. Which of them are of use is left to the front over all trainings: on the few
validation samples of a single training, the best of many settings is the luckiest.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from nasfuse.data.dataset import Dataset
from nasfuse.domain.knob import CHOICE_KNOBS
from nasfuse.domain.metric import METRICS
from nasfuse.domain.modality import Modality
from nasfuse.nn.knob import Knob, knobs_at, set_knobs, settings_of
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.train.equilibrium import measured_macs
from nasfuse.train.evaluation import evaluate
from nasfuse.train.route_table import Routed, RouteTable
from nasfuse.train.tabulate import tabulate_routes

#: Products of several kinds of knobs, at most.
_MAX_PRODUCTS = 6

#: Settings of a routed network beside its own, at most: each is a pass over all routes.
_MAX_ROUTED = 12

#: Points of the curve at the own setting: the two static ends and what lies between, evenly in cost.
N_CURVE = 9

#: Points of the curves at all other settings together, and of each at most.
_N_OTHER, _N_EACH = 14, 4

Settings = dict[str, float]


@dataclass(frozen=True)
class SweptPoint:
    """A trained network at one setting.

    Attributes:
        settings: Knob to value; knobs that are not named have the network's own.
        metric: On validation data.
        macs: Mean per sample.
        holds: False where the metric is no number, or where a knob that must hold loses more than 1 % of it.
        routed: What a router does there; None for a static network.
    """

    settings: Settings
    metric: float
    macs: float
    holds: bool
    routed: Routed | None = None


def sweep_settings(network: Network, modalities: Sequence[Modality]) -> list[Settings]:
    """Returns the settings of a network beside its own; what decides the routes is not among them.

    First each kind of knob at each of its values, then products of several kinds: all at their cheapest, then from the
    mildest on, at most six. Last, where a kind has several knobs (the keep ratios of streams), each alone. Left out are
    settings that cost as much as the network's own, products in which a knob saves nothing beside the others, and of
    two knobs that must hold (the cap and the tolerance of one solver) their product. A routed network has at most
    twelve.
    """
    lengths = {modality.name: modality.shape[0] for modality in modalities if modality.kind == "sequence"}
    knobs = network.knobs()
    whole: list[Settings] = []
    alone: list[Settings] = []
    cheaper: list[list[Settings]] = []
    for kind in dict.fromkeys(knob.kind for knob in knobs):
        same = [knob for knob in knobs if knob.kind == kind]
        dearer = _of_one_kind(network, [(knob, knob.dearer) for knob in same], lengths)
        cheaper.append(_of_one_kind(network, [(knob, knob.cheaper) for knob in same], lengths))
        whole += [*dearer, *cheaper[-1]]
        alone += [{name: value} for setting in (*dearer, *cheaper[-1]) for name, value in setting.items()]
    products = [product for product in _products(cheaper, knobs) if _all_save(network, product, lengths)]
    found: list[Settings] = []
    for setting in (*whole, *products[:_MAX_PRODUCTS], *alone):
        if setting not in found:
            found.append(setting)
    return found[:_MAX_ROUTED] if isinstance(network, RoutedNetwork) else found


def _of_one_kind(
    network: Network, knobs: Sequence[tuple[Knob, tuple[float, ...]]], lengths: Mapping[str, int]
) -> list[Settings]:
    """Returns the settings that have the first, second, ... of the values given for each knob, if it changes a cost."""
    found = []
    for place in range(max(len(values) for _, values in knobs)):
        wanted = {knob.name: values[place] for knob, values in knobs if place < len(values)}
        setting = {name: value for name, value in wanted.items() if _all_save(network, {name: value}, lengths)}
        if setting:
            found.append(setting)
    return found


def _all_save(network: Network, setting: Settings, lengths: Mapping[str, int]) -> bool:
    """Returns whether every knob of `setting` changes a static cost beside the others, if it ever does."""
    macs = _static_macs(network, setting, lengths)
    shows = {knob.name for knob in network.knobs() if knob.in_static_macs}
    others = [{key: value for key, value in setting.items() if key != name} for name in setting if name in shows]
    return all(_static_macs(network, other, lengths) != macs for other in others)


def _static_macs(network: Network, setting: Settings, lengths: Mapping[str, int]) -> list[int]:
    with knobs_at(network.knobs(), setting):
        return network.static_macs(lengths)


def _products(kinds: Sequence[Sequence[Settings]], knobs: Sequence[Knob]) -> list[Settings]:
    """Returns one setting each of several kinds: the cheapest of all first, then the mildest and so on."""
    must_hold = {knob.name for knob in knobs if knob.must_hold}
    options = [[(0, Settings()), *enumerate(settings, start=1)] for settings in kinds]
    found: list[tuple[int, Settings]] = []
    for parts in itertools.product(*options):
        product = {name: value for _, setting in parts for name, value in setting.items()}
        if sum(bool(setting) for _, setting in parts) > 1 and len(must_hold & product.keys()) < 2:
            found.append((sum(rank for rank, _ in parts), product))
    found.sort(key=lambda one: one[0])
    products = [product for _, product in found]
    return [*products[-1:], *products[:-1]]


def sweep(network: Network, dataset: Dataset, *, metric: str, device: torch.device) -> list[SweptPoint]:
    """Returns a trained static network at the settings of `sweep_settings`, measured on validation data."""

    def value(setting: Settings) -> float:
        with knobs_at(network.knobs(), setting):
            return evaluate(network, dataset.val, metric=metric, task=dataset.task, device=device)[0]

    def macs(setting: Settings) -> float:
        with knobs_at(network.knobs(), setting):
            return measured_macs(network, dataset.val, dataset, device=device)

    return sweep_with(network, dataset.modalities, metric=metric, value=value, macs=macs)


def sweep_with(
    network: Network,
    modalities: Sequence[Modality],
    *,
    metric: str,
    value: Callable[[Settings], float],
    macs: Callable[[Settings], float],
) -> list[SweptPoint]:
    """Returns a static network at the settings of `sweep_settings`, measured by functions of the setting.

    Args:
        network: Network with the knobs.
        modalities: Modalities of the data.
        metric: Name of the metric.
        value: Returns the metric at a setting; called once for each.
        macs: Returns the mean MACs per sample at a setting.
    """
    assert not isinstance(network, RoutedNetwork), "has a curve at each setting, see `sweep_routed`"
    values: dict[tuple[tuple[str, float], ...], float] = {}

    def known_value(setting: Settings) -> float:
        key = tuple(setting.items())
        if key not in values:
            values[key] = value(setting)
        return values[key]

    points = []
    for setting in sweep_settings(network, modalities):
        found, reference = known_value(setting), _reference(network, setting)
        holds = math.isfinite(found) and (reference is None or METRICS[metric].holds(found, known_value(reference)))
        points.append(SweptPoint(setting, found, macs(setting), holds))
    return points


def sweep_routed(
    network: RoutedNetwork, setting: Settings, n_settings: int, dataset: Dataset, *, metric: str, device: torch.device
) -> list[SweptPoint]:
    """Returns points of a routed network's curve at one of `n_settings` settings beside its own.

    The router is calibrated anew there, as it is where a recipe has the setting, and keeps the calibration for
    `set_network`; the whole curve is one pass over all routes. At most four points, evenly in cost, with the static
    ends if there are three or more.
    """
    network.keep_calibration(network.calibration)  # of the network's own setting
    table = _table_at(network, setting, dataset, metric=metric, device=device)
    with knobs_at(network.knobs(), setting):
        network.keep_calibration(table.calibration)
    always = {} if network.always is None else {"always": -1.0}  # of a recipe with one route for all samples
    reference = _reference(network, setting)
    before = None if reference is None else _table_at(network, reference, dataset, metric=metric, device=device)
    n_points = min(max(_N_OTHER // n_settings, 1), _N_EACH)
    inner = [(number + 1) / (n_points + 1) for number in range(n_points)]
    shares = inner if n_points < 3 else [number / (n_points - 1) for number in range(n_points)]
    points = []
    for routed in table.curve(shares):
        holds = math.isfinite(routed.metric)
        if before is not None:
            holds = holds and METRICS[metric].holds(routed.metric, before.at(routed.threshold).metric)
        settings = {**setting, **always, "threshold": routed.threshold}
        points.append(SweptPoint(settings, routed.metric, routed.macs, holds, routed))
    return points


def _table_at(
    network: RoutedNetwork, setting: Settings, dataset: Dataset, *, metric: str, device: torch.device
) -> RouteTable:
    with knobs_at(network.knobs(), setting):
        table = tabulate_routes(network, dataset.val, dataset, metric=metric, device=device).set_to(None)
    return table.calibrated() if setting else table


def _reference(network: Network, setting: Settings) -> Settings | None:
    """Returns `setting` without the knobs that must hold, None where it has none."""
    must_hold = {knob.name for knob in network.knobs() if knob.must_hold}
    kept = {name: value for name, value in setting.items() if name not in must_hold}
    return None if kept == setting else kept


def set_network(network: Network, settings: Mapping[str, float]) -> None:
    """Gives a trained network a setting at which it was swept.

    Where other knobs than those of the choice change, a router gets the calibration that the sweep has fitted there.

    Raises:
        InvalidInputError: The network has no such knob, or the sweep has not calibrated the router there.
    """
    before = settings_of(network.knobs())
    set_knobs(network.knobs(), settings)
    changed = {name for name, value in settings.items() if value != before[name]}
    if isinstance(network, RoutedNetwork) and changed - CHOICE_KNOBS:
        network.recall_calibration()
