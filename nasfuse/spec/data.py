"""Which data set a recipe or study uses, and how its file is read."""

import os
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from nasfuse.domain.task import TASKS
from nasfuse.errors import nearest
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.spec.modality import FrozenConfig, ModalityEntry, TextConfig, columns_of, expand_modality
from nasfuse.spec.schema.model import MisfitError, Model, matching

#: Name of a modality or stream.
Name = Annotated[
    str,
    matching(r"[A-Za-z_][A-Za-z0-9_-]*", "begin with a letter or _; further characters may be digits and -, too"),
]


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


class SplitRows(Model):
    """The splits of data whose rows are in the order of their splits.

    Attributes:
        train: Number of rows of train, the first ones.
        val: Number of rows of val, which follow; None: a share of train, `val_fraction`.
        test: Number of rows of test, the last ones.
    """

    train: Annotated[int, Field(ge=1)]
    val: Annotated[int, Field(ge=1)] | None = None
    test: Annotated[int, Field(ge=1)]

    @property
    def n_rows(self) -> int:
        """Number of rows of all splits."""
        return self.train + (self.val or 0) + self.test


class DataConfig(Model):
    """The data set of a recipe or study, and the layout of its file.

    Attributes:
        source: A shipped data set (`nasfuse data list`) or the path of an `.npz` file: from the working folder, beside
            the recipe or study file, or in the data folder.
        modalities: Modalities of a file by name. Shipped data sets define their own.
        target: Name of the label array or column of a file, or of several columns: labels (multilabel), numbers
            (regression), or the classes of one-hot rows (multiclass).
        split: Name of the array that assigns `train`, `val` or `test` to every sample of a file, or the numbers of rows
            of a file whose rows are in this order.
        group: Name of an array of group labels. Samples of one group are never divided between train and val. If the
            file's own val shares groups with train, both are divided again.
        classes: Names of the classes in their order, for example `[low, middle, high]`, for labels that are words or
            whole numbers. Default: alphabetical or numerical order. Of label maps, in the order of their numbers, which
            need not all occur.
        void: Number of pixels without a label in label maps, or its name in `classes`. It is no class. Default: all
            numbers are classes.
        metadata: Columns or arrays that are no inputs, by whose values results are shown, for example `[day]`.
        task: Kind of task, one of `nasfuse.domain.task.TASKS`.
        aligned: Images that are registered with each other, pixel by pixel, and with the label maps of a dense task:
            random movements in training (`training.shift`, `.flip`, `.scale`) are the same for all of them and for the
            labels.
        val_fraction: Share of train that is used as val if the file has no val. Groups are kept whole, so with few
            large groups the actual share may differ; a warning then reports it.
        validation: Cross-validation on train and val together in searches, for small data sets. `train` then trains
            on all these samples. Default: one validation split.
    """

    source: Annotated[str, Field(min_length=1)]
    modalities: dict[Name, ModalityEntry] = Field(default={})
    target: str | Annotated[tuple[str, ...], Field(min_length=2)] = "y"
    split: str | SplitRows = "split"
    group: str | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    void: int | str | None = None
    metadata: tuple[str, ...] = ()
    task: str = "multiclass"
    aligned: tuple[Name, ...] = ()
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    validation: ValidationConfig | None = None

    @field_validator("task")
    @classmethod
    def _is_a_task(cls, task: str) -> str:
        if task not in TASKS:
            raise ValueError(f"{task!r} is not known; {nearest(task, TASKS)}")
        return task

    @field_validator("classes")
    @classmethod
    def _are_distinct(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = next((name for name in classes or () if (classes or ()).count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"must be different names, got {twice!r} twice; remove one")
        return classes

    @field_validator("aligned")
    @classmethod
    def _are_named_once(cls, aligned: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for name in aligned if aligned.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"must be different modalities, got {twice} twice; remove one")
        return aligned

    @model_validator(mode="after")
    def _targets_are_no_inputs(self) -> Self:
        for name, entry in self.modalities.items():
            both = next((column for column in columns_of(name, entry) if column in self.targets), None)
            if both is not None:
                raise MisfitError(f"modalities.{name}", f"reads {both}, which is a target; remove it from one of them")
        return self

    @model_validator(mode="after")
    def _aligned_are_modalities(self) -> Self:
        unknown = next((name for name in self.aligned if self.modalities and name not in self.modalities), None)
        if unknown is not None:
            raise MisfitError(
                "aligned",
                f"{unknown!r} is no modality of the data; {nearest(unknown, self.modalities)}. Label maps of a dense "
                "task always move with them and are not named",
            )
        return self

    @model_validator(mode="after")
    def _classes_need_their_task(self) -> Self:
        if self.classes is not None and not TASKS[self.task].is_exclusive:
            raise MisfitError("classes", f"a {self.task} has no classes that exclude one another; remove it")
        return self

    @model_validator(mode="after")
    def _void_is_of_label_maps(self) -> Self:
        if self.void is None:
            return self
        if not TASKS[self.task].is_dense:
            raise MisfitError("void", f"is for label maps, and a {self.task} has none; remove it")
        if isinstance(self.void, str) and self.void not in (self.classes or ()):
            raise MisfitError("void", f"{self.void!r} is none of data.classes; name one of them, or give its number")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """Returns the names of the target's columns or arrays."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def void_number(self) -> int | None:
        """Returns the number of pixels without a label in the data; None if all numbers are classes."""
        return (self.classes or ()).index(self.void) if isinstance(self.void, str) else self.void

    @property
    def class_list(self) -> tuple[str, ...]:
        """Returns the names of the classes without the one of `void`; empty if they are not listed."""
        return tuple(name for name in self.classes or () if name != self.void)

    def at(self, source: str) -> "DataConfig":
        """Returns a copy with another `source`; a path relative to the working folder becomes absolute."""
        is_path = source not in SHIPPED_SOURCES and os.path.exists(source)
        return self.model_copy(update={"source": os.path.abspath(source) if is_path else source})

    def on_train_and_val(self) -> "DataConfig":
        """Returns the block with which a final training uses train and val together (`validation`)."""
        return self if self.validation is not None else self.model_copy(update={"validation": ValidationConfig()})

    @property
    def frozen(self) -> tuple[str, ...]:
        """Returns the names of the modalities that a frozen encoder computes."""
        return tuple(name for name, entry in self.modalities.items() if isinstance(entry, FrozenConfig))

    @property
    def identity(self) -> dict[str, Any]:
        """Returns the fields that identify the data: all but metadata and the paths of files and encoders.

        Files may be moved; their content is compared by fingerprints instead. Later additions to the schema are left
        out where they are at their defaults, so that the hashes of earlier recipes stay.
        """
        plain = self.to_plain()
        if not self.aligned:
            del plain["aligned"]
        del plain["metadata"]
        for name, entry in self.modalities.items():
            if isinstance(entry, TextConfig) and entry.tokenizer == TextConfig.model_fields["tokenizer"].default:
                del plain["modalities"][name]["tokenizer"]
            if isinstance(entry, FrozenConfig):
                del plain["modalities"][name]["folder"]
        return plain if self.source in SHIPPED_SOURCES else {key: plain[key] for key in plain if key != "source"}


def expand_modalities(values: Any) -> Any:
    """Returns `values` with the shorthands in `data.modalities` written out, see `expand_modality`."""
    if not isinstance(values, dict) or not isinstance(values.get("data"), dict):
        return values
    modalities = values["data"].get("modalities")
    if not isinstance(modalities, dict):
        return values
    full = {name: expand_modality(entry) for name, entry in modalities.items()}
    return {**values, "data": {**values["data"], "modalities": full}}
