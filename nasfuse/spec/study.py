"""The study: data, space, budget, sampler and resources of one search. YAML on disk."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import METRICS, get_metric
from nasfuse.errors import ConfigError, InvalidInputError, NasfuseError, Problem, nearest
from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.spec.data_source import located
from nasfuse.spec.schema.model import Model
from nasfuse.spec.schema.yaml_file import Document, read_document, to_yaml
from nasfuse.spec.shipped import find_shipped
from nasfuse.spec.space import SpaceConfig

Sampler = Literal["known_cost", "tpe", "nsga2", "nsga3", "gp", "random"]


class BudgetConfig(Model):
    """When the search ends; the first that is reached counts.

    Attributes:
        trials: Trainings; one that was stopped early counts, as does one that failed, unless it is one of those that
            ended a search by failing in a row.
        minutes: Wall-clock time of the search, over all its sessions. Trials that are running then finish.
        repeats: Trainings, with different seeds, behind every member of the front, as far as the last fifth of the
            budget suffices; its metric is their mean. A front of single trainings is a front of lucky ones. 1 trains
            everything once.
    """

    trials: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    repeats: Annotated[int, Field(ge=1)] = 3


class ResourcesConfig(Model):
    """What trials run on.

    Attributes:
        workers: Trials at a time, at most as many as fit on the machine or cluster; None takes as many as fit.
        cpus_per_trial: Also the number of threads of a trial.
        gpus_per_trial: May be a fraction.
    """

    workers: Annotated[int, Field(ge=1)] | None = None
    cpus_per_trial: Annotated[int, Field(ge=1)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0.0


class StoppingConfig(Model):
    """Which trainings are not finished: those that are dominated early on (MO-ASHA).

    A training is compared with the earlier ones at `rungs` of its epochs: 1 / eta of them, 1 / eta**2 and so on. One in
    `eta` goes on, by non-dominated rank and then by spread, and so do the best of those that cost as much and what is
    expected to end on the front. Hand-made designs, repetitions and networks with a router are always finished, as is
    everything where the study's cost is not `macs`.

    Attributes:
        eta: One in so many goes on from a rung.
        rungs: How often a training is compared.
    """

    eta: Annotated[int, Field(ge=2)] = 3
    rungs: Annotated[int, Field(ge=1)] = 2


class StudyConfig(Model):
    """One search, complete.

    Attributes:
        name: Also the name of the run folder.
        data: Which data set.
        metric: What is maximised (or minimised, for an error), on validation data.
        cost: The other objective, minimised: a name of `nasfuse.domain.cost.COSTS`.
        space: The search space.
        fixed: Recipe fields with a set value; they win over the space.
        budget: When to stop.
        sampler: What suggests trials: `known_cost`, or one of Optuna's `tpe`, `nsga2`, `nsga3`, `gp` and `random`.
        stopping: Which trainings are stopped early; `off` finishes them all.
        inherit: Whether streams of suggestions start from the weights of equal streams of earlier trainings.
        seed: Every suggestion and training derives from it.
        max_macs: Candidates above are never trained.
        resources: What trials run on.
        storage: Optuna storage URL; None is `study.db` in the run folder. A relative path of a SQLite file is looked up
            from the working folder, and is beside the study file where it is not there.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    data: DataConfig
    metric: Annotated[str, Field(validate_default=True)] = "accuracy"
    cost: str = "macs"
    space: SpaceConfig
    fixed: Annotated[dict[str, Any], Field(default_factory=dict)]
    budget: BudgetConfig
    sampler: Sampler = "known_cost"
    stopping: StoppingConfig | None = StoppingConfig()
    inherit: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    max_macs: Annotated[int, Field(ge=1)] | None = None
    resources: ResourcesConfig = ResourcesConfig()
    storage: str | None = None

    @field_validator("metric")
    @classmethod
    def _judges_the_task(cls, metric: str, info: ValidationInfo) -> str:
        if metric not in METRICS:
            raise ValueError(f"{metric!r} is not known; {nearest(metric, METRICS)}")
        if "data" in info.data:
            try:
                get_metric(metric, info.data["data"].task)
            except InvalidInputError as error:
                raise ValueError(f"the metric {str(error).removeprefix('metric: ')}") from None
        return metric

    @field_validator("cost")
    @classmethod
    def _is_measured(cls, cost: str) -> str:
        if cost not in COSTS:
            raise ValueError(f"{cost!r} is not known; {nearest(cost, COSTS)}")
        return cost

    @field_validator("stopping", mode="before")
    @classmethod
    def _is_a_rule(cls, stopping: Any) -> Any:
        if not isinstance(stopping, dict | StoppingConfig | None):
            raise ValueError(f"give off, or a rule such as {{eta: 3, rungs: 2}}, got {stopping!r}")
        return stopping

    @field_validator("inherit")
    @classmethod
    def _is_confirmed(cls, inherit: bool, info: ValidationInfo) -> bool:
        budget = info.data.get("budget")
        if inherit and budget is not None and budget.repeats < 2:
            raise ValueError(
                f"only trainings from scratch count for the front, so give budget.repeats of at least 2, "
                f"got {budget.repeats}"
            )
        return inherit

    @field_validator("budget")
    @classmethod
    def _ends(cls, budget: BudgetConfig) -> BudgetConfig:
        if budget.trials is None and budget.minutes is None:
            raise ValueError("a search must end: give budget.trials, budget.minutes or both")
        return budget

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with every shorthand written out; `stopping: off` is none."""
        if isinstance(values, dict) and values.get("stopping") == "off":
            values = {**values, "stopping": None}
        return expand_modalities(values)

    @classmethod
    def load(cls, path: Path) -> "StudyConfig":
        """Returns the study in a YAML file; `space` may be a mapping, a path or the name of a shipped space.

        The space is looked up beside the study file and from the working folder, the data as `locate` says; a shipped
        study may be given by its path in the repository or by its name alone.

        Raises:
            MissingFileError: The study or its space is not there.
            ConfigError: With all problems of both files at once.
        """
        document = read_document(find_shipped(path, folder="studies"))
        values = dict(located(document.values, named_in=Path(document.source)))
        if isinstance(values.get("storage"), str):
            values["storage"] = _with_absolute_path(values["storage"], Path(document.source).parent)
        problems: list[Problem] = []
        if isinstance(values.get("space"), str):
            values["space"], found = _read_space(document, values["space"])
            problems += found
        try:
            study = cls.parse(values, document=document)
        except ConfigError as error:
            own = [problem for problem in error.problems if not (found_in_space(problem) and problems)]
            raise ConfigError(document.source, [*own, *problems]) from None
        if problems:
            raise ConfigError(document.source, problems)
        return study

    def to_plain(self) -> dict[str, Any]:
        """Returns the study as plain mappings, as it would be written by hand."""
        plain = self.model_dump(mode="json", exclude_none=True)
        return {**plain, "space": self.space.to_plain(), "stopping": plain.get("stopping", "off")}

    def to_yaml(self) -> str:
        """Returns the study as YAML, complete: the space is written out."""
        return to_yaml(self.to_plain())

    @property
    def identity(self) -> dict[str, Any]:
        """Returns what makes two studies the same.

        All but budget, resources, limits on what is trained, and where the file of the data is.
        """
        plain = {**self.to_plain(), "data": self.data.identity}
        return {key: plain[key] for key in plain if key not in ("budget", "resources", "max_macs")}

    @property
    def hash(self) -> str:
        """Returns 12 hexadecimal digits that two studies share only if their identity is equal."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:12]


def found_in_space(problem: Problem) -> bool:
    """Returns whether a problem lies inside the space of a study."""
    return re.match(r"space(\.|$)", problem.where) is not None


def _with_absolute_path(url: str, folder: Path) -> str:
    """Returns the URL of a SQLite file with an absolute path: from the working folder if it is there, else `folder`."""
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/|:|file:)(.+)", url)
    if match is None:
        return url
    path = match[2] if os.path.isfile(match[2]) else folder / match[2]
    return match[1] + os.path.abspath(path)


def _read_space(document: Document, name: str) -> tuple[Any, list[Problem]]:
    """Returns the mapping of a space file, and its problems under the key `space`."""
    line = document.line_of(("space",))
    beside = Path(document.source).parent / name
    try:
        path = beside if beside.is_file() else find_shipped(Path(name), folder="search_spaces")
        space = read_document(path)
        SpaceConfig.parse(space.values, document=space)
    except ConfigError as error:
        where = f"space ({error.source})"
        return {}, [Problem(f"{where} {p.where}".strip(), p.what, p.line) for p in error.problems]
    except NasfuseError as error:
        return {}, [Problem("space", str(error), line)]
    return space.values, []
