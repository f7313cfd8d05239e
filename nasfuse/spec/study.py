"""Schema of studies: data, space, budget, sampler and resources of a search."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import METRICS, get_metric
from nasfuse.domain.task import TASKS
from nasfuse.errors import ConfigError, InvalidInputError, NasfuseError, Problem, nearest
from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.spec.data_source import located
from nasfuse.spec.schema.model import Model, matching
from nasfuse.spec.schema.yaml_file import Document, read_document, to_yaml
from nasfuse.spec.shipped import find_shipped
from nasfuse.spec.space import SpaceConfig

#: Fields that may differ between the runs of a study.
_NOT_OF_IDENTITY = ("budget", "resources", "max_macs", "ensembles", "storage")

Sampler = Literal["known_cost", "tpe", "nsga2", "nsga3", "gp", "random"]


class BudgetConfig(Model):
    """The budget of a search, which ends at the first limit that is reached.

    Attributes:
        trials: Maximum number of trainings. Stopped and failed trainings count, except for consecutive failures that
            ended a search.
        minutes: Maximum wall-clock time in minutes, summed over all sessions of the search. Trainings that run then end
            with the epochs that fit into a tenth more, or are stopped.
        repeats: Number of trainings with different seeds behind every member of the front, as far as the last fifth of
            the budget suffices. The metric of a member is their mean, which reduces the selection bias of single
            trainings. 1 disables repetitions.
    """

    trials: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    repeats: Annotated[int, Field(ge=1)] = 3


class ResourcesConfig(Model):
    """Compute resources of trials.

    Attributes:
        workers: Maximum number of parallel trials, limited by what fits on the machine or cluster; None: as many as
            fit.
        cpus_per_trial: CPU cores per trial, also the number of torch threads.
        gpus_per_trial: GPUs per trial: a whole number, or a fraction of one GPU.
        epoch_minutes: Longest time of an epoch; the process of a training that takes longer is ended, and the training
            goes on in another one. None: two hours for the first epoch, then thirty times the longest one so far, at
            least ten minutes.
    """

    workers: Annotated[int, Field(ge=1)] | None = None
    cpus_per_trial: Annotated[int, Field(ge=1)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0.0
    epoch_minutes: Annotated[float, Field(gt=0)] | None = None

    @field_validator("gpus_per_trial")
    @classmethod
    def _can_be_given(cls, gpus: float) -> float:
        if gpus > 1 and not gpus.is_integer():
            raise ValueError(f"must be a whole number or at most 1, got {gpus:g}; round it")
        return gpus


class StoppingConfig(Model):
    """Early stopping of dominated trainings (MO-ASHA).

    A training is compared with earlier ones at several epochs (rungs): after 1 / eta of its epochs, 1 / eta**2 and so
    on. It continues if it is in the first 1 / eta by non-dominated rank and then by spread, among the best of those
    with at least its cost, or expected to end on the front. Networks with a sequential router are compared by their
    costliest route. A cross-validation (`data.validation`) is compared after such shares of its folds. Hand-made
    designs, repetitions and networks with a learned router are never stopped, nor is any training if the cost of the
    study is not `macs`.

    Attributes:
        eta: Reduction factor; 1 / eta of the trainings continue from a rung.
        rungs: Number of comparisons during a training.
        implementation: `module:class` of its `nasfuse.search.stopping.rule.StoppingRule`.
    """

    implementation: ClassVar[str] = "nasfuse.search.stopping.mo_asha:MultiObjectiveAsha"

    eta: Annotated[int, Field(ge=2)] = 3
    rungs: Annotated[int, Field(ge=1)] = 2


class StudyConfig(Model):
    """A complete description of a search.

    Attributes:
        name: Name of the study and of its run folder.
        data: Data set.
        metric: First objective, on validation data: a key of `nasfuse.domain.metric.METRICS`, which defines its
            direction.
        select_by: Metric that is the first objective instead, where `metric` is too coarse to tell networks apart;
            `metric` is then only reported, and that of exported recipes. None to select by `metric`.
        cost: Second objective, minimised: a key of `nasfuse.domain.cost.COSTS`.
        space: Search space.
        fixed: Fixed values by dotted recipe path; they take precedence over the space.
        budget: Limits of the search.
        sampler: Sampler of the suggestions: `known_cost`, or Optuna's `tpe`, `nsga2`, `nsga3`, `gp` or `random`.
        stopping: Early stopping; None (`off` in a file) trains everything to the end.
        inherit: Whether streams of suggested networks start from the weights of equal streams of earlier trainings.
        seed: Seed from which the seeds of all suggestions and trainings derive.
        max_macs: Largest number of MACs of a network that is trained.
        robust_metric: Value that the metric must reach where all validation samples lack any one modality, for a point
            to be on the front; an upper limit if smaller is better. None for no such limit.
        ensembles: Largest number of networks in an ensemble; 0 for no ensembles. They are chosen among static members
            of the front at the end of a search, and join the front where they are not dominated.
        resources: Compute resources of trials.
        storage: Optuna storage URL; None: `study.db` in the run folder. A relative path of a SQLite file refers to the
            working folder if the file exists there, else to the folder of the study file. A password is the name of an
            environment variable: `postgresql://me:$PASSWORD@host/name`.
    """

    name: Annotated[
        str,
        matching(
            r"[A-Za-z0-9][A-Za-z0-9._-]*", "begin with a letter or digit, and consist of letters, digits, ., _ and -"
        ),
        Field(max_length=100),
    ]
    data: DataConfig
    metric: Annotated[str, Field(validate_default=True)] = "accuracy"
    select_by: str | None = None
    cost: str = "macs"
    space: SpaceConfig
    fixed: Annotated[dict[str, Any], Field(default_factory=dict)]
    budget: BudgetConfig
    sampler: Sampler = "known_cost"
    stopping: StoppingConfig | None = StoppingConfig()
    inherit: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    max_macs: Annotated[int, Field(ge=1)] | None = None
    robust_metric: Annotated[float, Field(allow_inf_nan=False)] | None = None
    ensembles: Annotated[int, Field(ge=0)] = 0
    resources: ResourcesConfig = ResourcesConfig()
    storage: str | None = None

    @property
    def objective(self) -> str:
        """Name of the metric that is the first objective."""
        return self.select_by or self.metric

    @field_validator("metric", "select_by")
    @classmethod
    def _judges_the_task(cls, metric: str | None, info: ValidationInfo) -> str | None:
        if metric is None:
            return None
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
            raise ValueError(f"must be off or a mapping such as {{eta: 3, rungs: 2}}, got {stopping!r}; change it")
        return stopping

    @field_validator("inherit")
    @classmethod
    def _is_confirmed(cls, inherit: bool, info: ValidationInfo) -> bool:
        budget, data = info.data.get("budget"), info.data.get("data")
        if inherit and data is not None and data.validation is not None:
            raise ValueError(
                "is not available with data.validation, because the weights of other folds were trained on the samples "
                "of a fold; set it to false"
            )
        if inherit and budget is not None and budget.repeats < 2:
            raise ValueError(
                f"needs budget.repeats of at least 2, because only trainings from scratch are on the front, "
                f"got {budget.repeats}; raise it or set inherit to false"
            )
        return inherit

    @field_validator("ensembles")
    @classmethod
    def _can_be_chosen(cls, ensembles: int, info: ValidationInfo) -> int:
        if ensembles > 1 and info.data.get("robust_metric") is not None:
            raise ValueError("is not available with robust_metric, which ensembles do not have; remove one of them")
        data = info.data.get("data")
        if ensembles > 1 and data is not None and TASKS[data.task].is_dense:
            raise ValueError(
                f"is not available for a {data.task}, because ensembles are chosen by the outputs of all networks, "
                "which are not kept for all pixels of a split; remove it"
            )
        return ensembles

    @field_validator("budget")
    @classmethod
    def _ends(cls, budget: BudgetConfig) -> BudgetConfig:
        if budget.trials is None and budget.minutes is None:
            raise ValueError("a search needs a limit, got none; give budget.trials, budget.minutes or both")
        return budget

    @field_validator("storage")
    @classmethod
    def _has_no_secret(cls, storage: str | None) -> str | None:
        password = _password(storage or "")
        if password and not password.startswith("$"):
            raise ValueError(
                "has a password in plain text, which would be copied to the run folder; put the password in an "
                "environment variable and name that, as in postgresql://me:$PASSWORD@host/name"
            )
        return storage

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with every shorthand expanded; `stopping: off` becomes None."""
        if isinstance(values, dict) and values.get("stopping") == "off":
            values = {**values, "stopping": None}
        return expand_modalities(values)

    @classmethod
    def load(cls, path: Path) -> "StudyConfig":
        """Returns the study in a YAML file; `space` may be a mapping, a path or the name of a shipped space.

        A path of a space refers to the folder of the study file or to the working folder; `data.source` is resolved by
        `locate`. A shipped study may be given by its path in the repository or by its name.

        Raises:
            MissingFileError: The study or its space does not exist.
            ConfigError: With all problems of both files at once.
        """
        return cls._of_document(read_document(find_shipped(path, folder="studies")))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "StudyConfig":
        """Returns the study of a mapping with the content of a study file; paths refer to the working folder.

        Raises:
            MissingFileError: The space does not exist.
            ConfigError: With all problems at once.
        """
        return cls._of_document(Document("the study", dict(values), {}))

    @classmethod
    def _of_document(cls, document: Document) -> "StudyConfig":
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

    def replaced(
        self,
        *,
        trials: int | None = None,
        minutes: float | None = None,
        max_macs: int | None = None,
        workers: int | None = None,
        seed: int | None = None,
    ) -> "StudyConfig":
        """Returns the study with other settings; None keeps one. `trials` and `minutes` together are its budget.

        Raises:
            ConfigError: A setting is out of its range.
        """
        plain = self.to_plain()
        if trials is not None or minutes is not None:
            limits = {"trials": trials, "minutes": minutes}
            others = {key: value for key, value in plain["budget"].items() if key not in limits}
            plain["budget"] = {**others, **{key: value for key, value in limits.items() if value is not None}}
        if workers is not None:
            plain["resources"] = {**plain["resources"], "workers": workers}
        plain |= {key: value for key, value in (("max_macs", max_macs), ("seed", seed)) if value is not None}
        return type(self).parse(plain, source="the study")

    def to_plain(self) -> dict[str, Any]:
        """Returns the study as plain mappings in the form of a study file."""
        plain = self.model_dump(mode="json", exclude_none=True)
        return {**plain, "space": self.space.to_plain(), "stopping": plain.get("stopping", "off")}

    def to_yaml(self) -> str:
        """Returns the study as YAML, including its space."""
        return to_yaml(self.to_plain())

    @property
    def identity(self) -> dict[str, Any]:
        """Returns the fields that identify a study: all that its trials depend on but `budget`, and not `max_macs`.

        Neither the path of the data nor the address of the storage is among them.
        """
        plain = {**self.to_plain(), "data": self.data.identity}
        return {key: plain[key] for key in plain if key not in _NOT_OF_IDENTITY}

    @property
    def hash(self) -> str:
        """Returns a hash of 12 hexadecimal digits over `identity`."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:12]


def found_in_space(problem: Problem) -> bool:
    """Returns whether a problem is in the space of a study."""
    return re.match(r"space(\.|$)", problem.where) is not None


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:  # no URL; refused when it is opened
        return None


def _with_absolute_path(url: str, folder: Path) -> str:
    """Returns a SQLite URL with an absolute path, from the working folder if the file exists, else from `folder`."""
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/|:|file:)(.+)", url)
    if match is None:
        return url
    path = match[2] if os.path.isfile(match[2]) else folder / match[2]
    return match[1] + os.path.abspath(path)


def _read_space(document: Document, name: str) -> tuple[Any, list[Problem]]:
    """Returns the mapping of a space file and its problems, which are reported under the key `space`."""
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
