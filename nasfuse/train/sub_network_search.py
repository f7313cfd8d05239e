"""The sub-networks of a trained elastic network that are worth measuring: a bounded search on validation data."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from nasfuse.cost import expected_macs
from nasfuse.data.dataset import Dataset
from nasfuse.domain.metric import METRICS
from nasfuse.nn.elastic import Setting, SubNetworks
from nasfuse.pareto import non_dominated
from nasfuse.seeds import derive_seed

T = TypeVar("T")

#: Sub-networks that are tried at least and at most.
_LEAST, _MOST = 16, 96

#: Samples that the search may pass through networks, as a share of those of the training, in which each counts thrice:
#: forwards, backwards and for the sub-networks beside the whole one.
_SHARE = 0.1

#: Sub-networks that are measured at most.
_N_KEPT = 16

#: Changes of a member of the front that are tried until a new one is found.
_N_CHANGES = 50


@dataclass(frozen=True)
class _Tried:
    setting: Setting
    macs: int
    metric: float


def tries_of(dataset: Dataset, *, n_epochs: int) -> int:
    """Returns the number of sub-networks that are tried after a training, each on all validation samples.

    It depends on the sizes of training and data alone, so that it is the same on every machine.
    """
    passes = 3 * n_epochs * len(dataset.train)
    return min(max(int(_SHARE * passes / len(dataset.val)), _LEAST), _MOST)


def front_of_parts(
    parts: SubNetworks,
    dataset: Dataset,
    *,
    metric: str,
    whole: float,
    value: Callable[[Setting], float],
    n_tries: int,
) -> tuple[list[tuple[Setting, float]], int]:
    """Returns the non-dominated sub-networks that were found with their metrics, and how many were tried.

    A half of the tries are random sub-networks, evenly spread over the MACs of twice as many, which are known without a
    pass. The other half are members of the front so far with one field changed to its next value, larger or smaller.
    At most sixteen members are returned, evenly chosen, the costliest first.

    Args:
        parts: Sub-networks of the network.
        dataset: Data, for the MACs.
        metric: Name of the metric.
        whole: Metric of the whole network, with which the front begins.
        value: Returns the metric of the sub-network at a setting; called once for each.
        n_tries: Sub-networks to try.
    """
    generator = torch.Generator().manual_seed(derive_seed(0, "search over sub-networks"))
    tried: dict[tuple[tuple[str, int], ...], _Tried] = {}

    def macs(setting: Setting) -> int:
        return expected_macs(parts.at(setting).network, dataset)

    def attempt(setting: Setting) -> None:
        tried[_key(setting)] = _Tried(setting, macs(setting), value(setting))

    tried[()] = _Tried({}, macs({}), whole)
    attempt(parts.smallest)
    drawn = {_key(setting): setting for setting in (parts.draw(generator) for _ in range(n_tries))}
    fresh = sorted((setting for key, setting in drawn.items() if key not in tried), key=macs)
    for setting in _evenly(fresh, n_tries // 2):
        attempt(setting)
    while len(tried) <= n_tries:
        found = _changed(parts, _front(list(tried.values()), metric), set(tried), generator)
        if found is None:
            break
        attempt(found)
    front = [(one.setting, one.metric) for one in _front(list(tried.values()), metric) if one.setting]
    return _evenly(front, _N_KEPT), len(tried) - 1


def _front(tried: Sequence[_Tried], metric: str) -> list[_Tried]:
    """Returns the non-dominated ones with a finite metric, costliest first."""
    sign = METRICS[metric].sign
    finite = [one for one in tried if math.isfinite(one.metric)]
    costs = np.array([(sign * one.metric, one.macs) for one in finite], dtype=np.float64).reshape(-1, 2)
    return sorted((finite[place] for place in np.flatnonzero(non_dominated(costs))), key=lambda one: -one.macs)


def _changed(
    parts: SubNetworks, front: Sequence[_Tried], known: set[tuple[tuple[str, int], ...]], generator: torch.Generator
) -> Setting | None:
    """Returns a new neighbour of a random member of the front; None if none was found."""

    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    paths = list(parts.values)
    for _ in range(_N_CHANGES):
        member, path = front[below(len(front))].setting, paths[below(len(paths))]
        values = parts.values[path]
        place = values.index(member.get(path, values[-1])) + (1 if below(2) else -1)
        if not 0 <= place < len(values):
            continue
        setting = parts.setting({**member, path: values[place]})
        if _key(setting) not in known and parts.is_network(setting):
            return setting
    return None


def _key(setting: Setting) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(setting.items()))


def _evenly(items: Sequence[T], n: int) -> list[T]:
    """Returns at most `n` of the items, evenly chosen, with the first and the last."""
    if len(items) <= n:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, n).round().astype(int)]
