"""What a rule for early stopping decides, and from what."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy.typing as npt


class StoppingRule(ABC):
    """Decides at a few epochs, the rungs, whether a training continues."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Any) -> Self:
        """Returns the rule of a study; `config` is of the class in `nasfuse.spec.study` that names this one."""

    @abstractmethod
    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the rungs of a training of `epochs` epochs; there may be none."""

    @abstractmethod
    def promotes(
        self, own: Sequence[float], earlier: npt.ArrayLike, *, end: float = math.inf, finished: npt.ArrayLike = ()
    ) -> bool:
        """Returns whether a training with the objectives `own` continues.

        Args:
            own: (error, log cost) at a rung.
            earlier: Shape (n, 2), (error, log cost) of other trainings at the same rung.
            end: Error that is expected at the end of the training.
            finished: Shape (m, 2), (error, log cost) of complete trainings at their end.
        """
