"""The sub-networks of an elastic network: which there are, and how they are run, drawn and cut out."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.nn.network import StreamNetwork
from nasfuse.nn.sub_network import SubNetwork
from nasfuse.nn.weightless import build_weightless
from nasfuse.spec.elastic import smaller_network
from nasfuse.spec.network import NetworkConfig

#: Dotted path of a field in a recipe to a value that is smaller than the field's own; {} is the whole network.
Setting = dict[str, int]

#: Sub-networks that are kept, about 0.1 MB each.
_N_KEPT = 512

#: Settings that are drawn before the smallest one is taken: few may be left where widths must be equal.
_N_DRAWS = 100


class SubNetworks:
    """The sub-networks of one elastic network, each at a setting of the fields that may shrink.

    Attributes:
        values: Dotted path of each field to its values in increasing order, of which the last is the whole network's.
        smallest: Setting with the smallest values of all fields.
    """

    def __init__(
        self,
        config: NetworkConfig,
        elastic: Mapping[str, Sequence[int]],
        modalities: Sequence[Modality],
        task: Task,
        *,
        drops: bool,
    ) -> None:
        """Checks that every value occurs in a network.

        Args:
            config: The whole network.
            elastic: Smaller values of its fields, by dotted path.
            modalities: Modalities of the data.
            task: Task of the data.
            drops: Whether the training drops modalities.

        Raises:
            InvalidInputError: A value occurs in no network, or the smallest one is none.
        """
        self._config, self._modalities, self._task, self._drops = config, modalities, task, drops
        own = {path: value_at(config, path) for path in elastic}
        self.values = {path: (*values, own[path]) for path, values in elastic.items()}
        self._whole = self._weightless({})
        self._find = lru_cache(maxsize=_N_KEPT)(self._make)
        self.smallest: Setting = {path: values[0] for path, values in elastic.items()}
        try:
            self.at(self.smallest)
        except InvalidInputError as error:
            raise InvalidInputError(f"elastic: the smallest sub-network is no network: {error}") from error
        for path, values in elastic.items():
            for number, value in enumerate(values):
                self._check(path, number, value)

    def at(self, setting: Mapping[str, int]) -> SubNetwork:
        """Returns the sub-network at a setting.

        Raises:
            InvalidInputError: There is no such network: its values contradict one another, or it is no part of the
                whole network.
        """
        found = self._find(tuple(sorted(setting.items())))
        if isinstance(found, str):
            raise InvalidInputError(found)
        return found

    def is_network(self, setting: Mapping[str, int]) -> bool:
        """Returns whether there is a sub-network at a setting."""
        return not isinstance(self._find(tuple(sorted(setting.items()))), str)

    def setting(self, values: Mapping[str, int]) -> Setting:
        """Returns the setting in which fields have these values, without those that are the whole network's."""
        return {path: value for path, value in values.items() if value != self.values[path][-1]}

    def draw(self, generator: torch.Generator) -> Setting:
        """Returns a random setting in which every value of a field has the same probability."""
        for _ in range(_N_DRAWS):
            drawn = {
                path: values[int(torch.randint(len(values), (), generator=generator))]
                for path, values in self.values.items()
            }
            if self.is_network(self.setting(drawn)):
                return self.setting(drawn)
        return self.smallest

    def cut_out(self, whole: StreamNetwork, setting: Mapping[str, int]) -> StreamNetwork:
        """Returns an ordinary network with the weights that the sub-network at a setting has in `whole`."""
        return cut_out(whole, self._config, setting, self._modalities, self._task, drops=self._drops)

    def run(self, whole: StreamNetwork, setting: Mapping[str, int], *args: object, **kwargs: object) -> Tensor:
        """Returns the outputs of the sub-network at a setting with the weights of `whole`, see `SubNetwork.run`."""
        return self.at(setting).run(whole, *args, **kwargs)

    def _make(self, key: tuple[tuple[str, int], ...]) -> SubNetwork | str:
        try:
            return SubNetwork.of(self._weightless(dict(key)), self._whole)
        except ConfigError as error:
            return "; ".join(str(problem) for problem in error.problems)
        except InvalidInputError as error:
            return str(error)

    def _weightless(self, setting: Mapping[str, int]) -> StreamNetwork:
        return _weightless(smaller_network(self._config, setting), self._modalities, self._task, drops=self._drops)

    def _check(self, path: str, number: int, value: int) -> None:
        """Checks that a value occurs in a network: alone, beside the smallest values, or beside those of its rank."""
        of_rank = {other: values[min(number, len(values) - 1)] for other, values in self.values.items()}
        for others in ({}, self.smallest, of_rank):
            if self.is_network(self.setting({**others, path: value})):
                return
        try:
            self.at({path: value})
        except InvalidInputError as error:
            raise InvalidInputError(f"elastic: {path} cannot be {value}: {error}") from error


def cut_out(
    whole: StreamNetwork,
    config: NetworkConfig,
    setting: Mapping[str, int],
    modalities: Sequence[Modality],
    task: Task,
    *,
    drops: bool,
) -> StreamNetwork:
    """Returns an ordinary network with the weights of the sub-network of `whole`, of configuration `config`."""
    part = SubNetwork.of(_weightless(smaller_network(config, setting), modalities, task, drops=drops), whole)
    part.cut_out_of(whole)
    return part.network


def _weightless(config: NetworkConfig, modalities: Sequence[Modality], task: Task, *, drops: bool) -> StreamNetwork:
    network = build_weightless(config, modalities, task, drops=drops)
    assert isinstance(network, StreamNetwork), "an ensemble has no elastic members"
    return network


def value_at(config: NetworkConfig, path: str) -> int:
    """Returns the value of a field of a network by its dotted path in a recipe."""
    found: object = {"network": config.to_plain()}
    for key in path.split("."):
        assert isinstance(found, Mapping), "checked by the recipe"
        found = found[key]
    assert isinstance(found, int), "checked by the recipe"
    return found
