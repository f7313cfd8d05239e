"""Which data set a recipe or study uses, and how its file is read."""

import os
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from nasfuse.domain.modality import ModalityKind, PaddingSide
from nasfuse.domain.task import TASKS
from nasfuse.errors import nearest
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.spec.schema.model import MisfitError, Model, matching

#: Name of a modality or stream.
Name = Annotated[
    str,
    matching(r"[A-Za-z_][A-Za-z0-9_-]*", "begin with a letter or _; further characters may be digits and -, too"),
]


class ModalityConfig(Model):
    """The arrays of one modality in an `.npz` file.

    Attributes:
        kind: `vector`, `sequence` or `image`.
        array: Name of the array. Default: the name of the modality.
        arrays: Names of several arrays instead, whose features are concatenated: vectors (n, F) or (n,), sequences
            (n, T, F) or (n, T) of the same steps.
        index: Name of an integer array; sample i is then `array[index[i]]`.
        lengths: Name of an array with the true length of each sequence; later steps are padding.
        vocabulary: Number of distinct ids, for a sequence of integer token ids.
        padding: Side of the padding in a sequence with `lengths`: `left` is before the data, `right` after it.
            Default: detected from the data.
    """

    kind: ModalityKind
    array: str | None = None
    arrays: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    index: str | None = None
    lengths: str | None = None
    vocabulary: Annotated[int, Field(ge=2)] | None = None
    padding: PaddingSide | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.arrays is not None and self.array is not None:
            raise MisfitError("array", "is one array and arrays are several; remove one of the two")
        if self.arrays is not None and self.vocabulary is not None:
            raise MisfitError("arrays", "token ids have no features to concatenate; name one array")
        return self


class ValidationConfig(Model):
    """Cross-validation, in place of one validation split.

    The samples outside test are divided into folds, stratified by class and with groups kept whole. A network is
    trained for every fold, on the others. The metric is that of the predictions for all samples, pooled over the folds.

    Attributes:
        folds: Number of folds.
        repeats: Number of divisions into folds; the metric is the mean over them.
    """

    folds: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 1

    @property
    def n_trainings(self) -> int:
        """Number of networks that are trained."""
        return self.folds * self.repeats


class DataConfig(Model):
    """The data set of a recipe or study, and the layout of its file.

    Attributes:
        source: A shipped data set (`nasfuse data list`) or the path of an `.npz` file: from the working folder, beside
            the recipe or study file, or in the data folder.
        modalities: Modalities of a file by name. Shipped data sets define their own.
        target: Name of the label array of a file.
        split: Name of the array that assigns `train`, `val` or `test` to every sample of a file.
        group: Name of an array of group labels. Samples of one group are never divided between train and val. If the
            file's own val shares groups with train, both are divided again.
        task: Kind of task, one of `nasfuse.domain.task.TASKS`.
        val_fraction: Share of train that is used as val if the file has no val. Groups are kept whole, so with few
            large groups the actual share may differ; a warning then reports it.
        validation: Cross-validation on train and val together in searches, for small data sets. `train` then trains
            on all these samples. Default: one validation split.
    """

    source: Annotated[str, Field(min_length=1)]
    modalities: dict[Name, ModalityConfig] = Field(default={})
    target: str = "y"
    split: str = "split"
    group: str | None = None
    task: str = "multiclass"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    validation: ValidationConfig | None = None

    @field_validator("task")
    @classmethod
    def _is_a_task(cls, task: str) -> str:
        if task not in TASKS:
            raise ValueError(f"{task!r} is not known; {nearest(task, TASKS)}")
        return task

    def at(self, source: str) -> "DataConfig":
        """Returns a copy with another `source`; a path relative to the working folder becomes absolute."""
        return self.model_copy(update={"source": os.path.abspath(source) if os.path.isfile(source) else source})

    @property
    def identity(self) -> dict[str, Any]:
        """Returns the fields that identify the data: all but the path of a file, which may be moved.

        The content of files is compared by fingerprints instead.
        """
        plain = self.to_plain()
        return plain if self.source in SHIPPED_SOURCES else {key: plain[key] for key in plain if key != "source"}


def expand_modalities(values: Any) -> Any:
    """Returns `values` with the shorthand `name: kind` in `data.modalities` expanded to `name: {kind: kind}`."""
    if not isinstance(values, dict) or not isinstance(values.get("data"), dict):
        return values
    modalities = values["data"].get("modalities")
    if not isinstance(modalities, dict):
        return values
    full = {name: {"kind": entry} if isinstance(entry, str) else entry for name, entry in modalities.items()}
    return {**values, "data": {**values["data"], "modalities": full}}
