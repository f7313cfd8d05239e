"""The results of a search: its front, and the recipes and networks of chosen points."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import torch

from nasfuse.api.wording import errors_in_python
from nasfuse.errors import InvalidInputError, nearest
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import Run, read_run
from nasfuse.export import Choice, explanation, select_point, trained_point
from nasfuse.prediction import Predictor
from nasfuse.prediction.device import device_of
from nasfuse.search.front import COLUMNS, to_row
from nasfuse.spec.ensemble import AnyRecipe
from nasfuse.spec.study import StudyConfig

if TYPE_CHECKING:
    import pandas


class Criteria(TypedDict, total=False):
    """How a point is chosen, as by the options of `nasfuse export`; without any, the best point of the front.

    Attributes:
        pick: Which of the points within all limits. Default: cheapest with `min_metric` or `within`, else best.
        max_macs: Largest number of MACs.
        max_latency_ms: Largest measured latency in milliseconds.
        min_metric: Smallest metric (largest, if it is minimised).
        within: Percentage of the best metric within the other limits that may be lost, from 0 to 100.
        trial: Label of a point, as in the index of `SearchRun.front`, in place of all others.
    """

    pick: Literal["best", "knee", "cheapest"]
    max_macs: int
    max_latency_ms: float
    min_metric: float
    within: float
    trial: str | int


class SearchRun:
    """A search and its results, as they were in its folder when it was read.

    All methods take `Criteria` as keyword arguments, and choose the same point for the same criteria.

    Attributes:
        folder: Folder of the search.
        study: Study of the search.
    """

    def __init__(self, run: Run) -> None:
        """Wraps the content of a run folder."""
        self._run = run
        self.folder: Path = run.folder.root
        self.study: StudyConfig = run.study

    @property
    def front(self) -> "pandas.DataFrame":
        """Points that no other dominates, cheapest first: a table with their labels as index.

        `metric` and `metric_sd` are those on validation data. Other columns are the costs, the number of trainings,
        the setting of a network with several, the name of a hand-made design, and a summary of the network.
        """
        import pandas

        front = self._run.progress.front
        index = pandas.Index([one.label for one in front], name="label", dtype="str")
        return pandas.DataFrame([to_row(one) for one in front], columns=list(COLUMNS), index=index)

    def explain(self, **criteria: Unpack[Criteria]) -> str:
        """Returns a sentence on which point is chosen and why, and what its neighbours on the front cost.

        Raises:
            InvalidInputError: A criterion is unknown or invalid, no point is within the limits, or there is no front.
        """
        return explanation(self._run, self._choice(criteria))

    def recipe(self, **criteria: Unpack[Criteria]) -> AnyRecipe:
        """Returns the recipe of a point.

        Raises:
            InvalidInputError: See `explain`.
        """
        return self._run.recipe(self._choice(criteria).candidate)

    def export(self, path: str | os.PathLike[str], **criteria: Unpack[Criteria]) -> AnyRecipe:
        """Writes the recipe of a point to a YAML file, for `nasfuse train`, and returns it.

        Raises:
            InvalidInputError: See `explain`; or the file cannot be written.
        """
        recipe = self.recipe(**criteria)
        try:
            write_text(Path(path), recipe.to_yaml())
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be written ({error.strerror}); name another file") from error
        return recipe

    def network(self, *, device: str | torch.device = "cpu", **criteria: Unpack[Criteria]) -> Predictor:
        """Returns the network of a point as the search has trained it, which takes raw data.

        Of a cross-validated point and of an ensemble, it is the average of several networks.

        Raises:
            InvalidInputError: See `explain`; or there is no such device.
            RunFolderError: The run has no network of the point any more.
        """
        where = device_of(device)
        chosen = self._choice(criteria).candidate
        with errors_in_python():
            return trained_point(self._run, chosen, device=where)

    def _choice(self, criteria: Criteria) -> Choice:
        """Returns the chosen point.

        Raises:
            InvalidInputError: There is no such criterion, or see `explain`.
        """
        for name in criteria.keys() - Criteria.__annotations__.keys():
            raise InvalidInputError(f"there is no criterion {name!r}; {nearest(name, Criteria.__annotations__)}")
        with errors_in_python():
            return select_point(self._run, **criteria)

    def __repr__(self) -> str:
        """Returns the folder and the size of the front."""
        return f"<SearchRun {self.folder}: {len(self._run.progress.front)} points on the front>"


def load_run(path: str | os.PathLike[str]) -> SearchRun:
    """Returns the results of a search that has ended or still runs.

    Args:
        path: Folder of the search.

    Raises:
        MissingFileError: There is no run in the folder.
        RunFolderError: It is damaged, has not started, or is of another version of nasfuse.
    """
    with errors_in_python():
        return SearchRun(read_run(RunFolder(Path(path))))
