"""Ensembles: networks that share nothing and predict the mean of their predictions."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nasfuse.nn.knob import Knob
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.tasks import task_kind


class EnsembleNetwork(Network):
    """Runs all members for every sample; probabilities, or the numbers of a regression, are averaged.

    Members are trained separately and have no part of their own settings left to change: their knobs are set before.
    """

    def __init__(self, members: Sequence[Network], *, task: str) -> None:
        """Builds the ensemble of static networks.

        Args:
            members: Two or more networks with the same outputs.
            task: Kind of task, which defines the mean of outputs.
        """
        super().__init__()
        assert not any(isinstance(member, RoutedNetwork) for member in members), "checked by the recipe"
        self.members = nn.ModuleList(members)
        self.task = task_kind(task)

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the modalities that any member reads."""
        return tuple(dict.fromkeys(name for member in self._members() for name in member.stream_names))

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the modalities for which any member has a placeholder; others use the mean."""
        return frozenset().union(*(member.placeholders for member in self._members()))

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Returns outputs (b, n_outputs) with the mean predictions of the members; see `Network.forward`."""
        return self.task.average(torch.stack([member(inputs, masks, present=present) for member in self.members]))

    def knobs(self) -> tuple[Knob, ...]:
        """Returns no knobs."""
        return ()

    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the multiply-accumulates of all members together; see `Network.static_macs`."""
        return [sum(member.static_macs(lengths)[0] for member in self._members())]

    def _members(self) -> list[Network]:
        return [cast(Network, member) for member in self.members]
