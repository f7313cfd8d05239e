"""Our own recorded table: every network of `table_space.yaml`, trained once, with its learning curve.

`record_table.py` made `table.npz`. Engines that search it suggest as in a real study and are answered at once.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.enumeration import key_of
from benchmarks.search.problem import Problem
from nasfuse.domain.modality import Modality, ModalityKind
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

TABLE = Path(__file__).parent / "table.npz"


class Table(Problem):
    """The recorded trainings. Error is 1 - accuracy on validation data, cost is log10 MACs.

    The reference point is that of a study: a constant prediction at the cost of the costliest network. So the
    hypervolume is in the units of `nasfuse pareto`, accuracy x decades of MACs.

    Attributes:
        provenance: Where the trainings come from: study, versions, seeds.
    """

    name = "table"
    log10_unit = 0.0

    def __init__(self, path: Path = TABLE) -> None:
        """Loads the table."""
        with np.load(path) as file:
            keys = file["params"].tolist()
            self._macs = dict(zip(keys, file["macs"].tolist(), strict=True))
            errors = 1 - file["curves"].astype(np.float64)
            self._errors = dict(zip(keys, errors, strict=True))
            self.provenance: dict[str, Any] = json.loads(str(file["provenance"]))
        self.max_epochs = errors.shape[1]
        study = StudyConfig.parse(self.provenance["study"], source=str(path))
        self.asked = {**study.to_plain(), "budget": {}}
        self.space = _space(study, self.provenance["modalities"])
        self.parameters = tuple(self.space.parameters)
        self.reference = (1 - self.provenance["constant_metric"], math.log10(max(self._macs.values())))

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The parameters of every network in the table."""
        return [json.loads(key) for key in self._macs]

    @cached_property
    def best_hypervolume(self) -> float:
        """Hypervolume of the whole table."""
        return self.hypervolume(self.points)

    @property
    def points(self) -> NDArray[np.float64]:
        """(error, cost) of every network in the table, fully trained; shape (n, 2)."""
        return np.array([(self._errors[key][-1], math.log10(macs)) for key, macs in self._macs.items()])

    @cached_property
    def _parameters_by_hash(self) -> dict[str, dict[str, Any]]:
        return {self.space.recipe(params).hash: params for params in self.networks}

    def parameters_of(self, recipe: Recipe) -> Mapping[str, Any]:
        """Returns the parameters of a recipe of the table."""
        return self._parameters_by_hash[recipe.hash]

    def metric_of(self, error: float) -> float:
        """Returns the accuracy."""
        return 1 - error

    def error_of(self, metric: float) -> float:
        """Returns 1 - accuracy."""
        return 1 - metric

    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns log10 MACs."""
        return math.log10(self._macs[key_of(params)])

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the recorded error after each epoch; there is one training, whatever the seed."""
        return self._errors[key_of(params)]


def _space(study: StudyConfig, modalities: Sequence[tuple[str, ModalityKind, Sequence[int]]]) -> Space:
    """Returns the space of the recorded study, without its data set and its hand-made designs."""
    found = [Modality(name, kind, tuple(shape)) for name, kind, shape in modalities]
    config = study.space.model_copy(update={"baselines": {}})
    return Space(config, found, base={"metric": study.metric, "data": study.data.to_plain()})
