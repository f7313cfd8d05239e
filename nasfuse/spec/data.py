"""Which data set a recipe or study uses, and how its file is read."""

import os
from typing import Annotated, Any

from pydantic import Field, field_validator

from nasfuse.domain.modality import ModalityKind, PaddingSide
from nasfuse.domain.task import TASKS
from nasfuse.errors import nearest
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.spec.schema.model import Model

#: Name of a modality or stream.
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]


class ModalityConfig(Model):
    """Where a modality stands in an `.npz` file.

    Attributes:
        kind: `vector`, `sequence` or `image`.
        array: Name of the array; the modality's own name where left out.
        index: Name of an integer array; sample i is then `array[index[i]]`.
        lengths: Name of an array with the true length of each sequence; the rest is padding.
        vocabulary: Number of ids, for a sequence of integer token ids.
        padding: Where the padding of a sequence with `lengths` stands: `left` in front of its data, `right` behind it.
            Where left out, it is found out from the data.
    """

    kind: ModalityKind
    array: str | None = None
    index: str | None = None
    lengths: str | None = None
    vocabulary: Annotated[int, Field(ge=2)] | None = None
    padding: PaddingSide | None = None


class DataConfig(Model):
    """Which data set, and how its file is read.

    Attributes:
        source: A shipped data set (`nasfuse data list`) or the path of an `.npz` file: from the working folder, beside
            the file that names it, or in the data folder.
        modalities: For a file: the modalities it holds. A shipped set knows its own.
        target: Name of the label array of a file.
        split: Name of the array that says train, val or test for every sample of a file.
        group: Name of an array; samples of one group never stand on both sides of a cut. Where the file's own
            val shares groups with train, the two are cut anew.
        task: Kind of task, one of `nasfuse.domain.task.TASKS`.
        val_fraction: Share of train that becomes val where the file has none. Groups are not divided, so that with few
            large ones the share may be another; a warning says so.
    """

    source: Annotated[str, Field(min_length=1)]
    modalities: dict[Name, ModalityConfig] = Field(default={})
    target: str = "y"
    split: str = "split"
    group: str | None = None
    task: str = "multiclass"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15

    @field_validator("task")
    @classmethod
    def _is_a_task(cls, task: str) -> str:
        if task not in TASKS:
            raise ValueError(f"{task!r} is not known; {nearest(task, TASKS)}")
        return task

    def at(self, source: str) -> "DataConfig":
        """Returns the same description for another file; a path from the working folder becomes absolute."""
        return self.model_copy(update={"source": os.path.abspath(source) if os.path.isfile(source) else source})

    @property
    def identity(self) -> dict[str, Any]:
        """Returns all that makes two descriptions the same: not the path of a file, which may be moved.

        Whether two files hold the same data is decided by their fingerprints.
        """
        plain = self.to_plain()
        return plain if self.source in SHIPPED_SOURCES else {key: plain[key] for key in plain if key != "source"}


def expand_modalities(values: Any) -> Any:
    """Returns `values` with `image: image` under `data.modalities` written as `image: {kind: image}`."""
    if not isinstance(values, dict) or not isinstance(values.get("data"), dict):
        return values
    modalities = values["data"].get("modalities")
    if not isinstance(modalities, dict):
        return values
    full = {name: {"kind": entry} if isinstance(entry, str) else entry for name, entry in modalities.items()}
    return {**values, "data": {**values["data"], "modalities": full}}
