"""A first study for data from Python, as `nasfuse init` writes one."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import yaml

from nasfuse.api.wording import errors_in_python
from nasfuse.data.draft import draft_data
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.function import as_raw
from nasfuse.data.spellings import spelling_findings
from nasfuse.errors import DataWarning
from nasfuse.experiment.study_draft import study_name, study_text
from nasfuse.prediction.new_data import new_data
from nasfuse.spec.data import DataConfig, expand_modalities


def draft_study(data: Any, *, target: str | Sequence[str] | None = None, name: str | None = None) -> dict[str, Any]:
    """Returns a study for data that nobody has described yet, as a mapping to read, change and pass to `search`.

    Args:
        data: Path of a file or folder; a pandas `DataFrame`; a mapping from names to arrays; or a sequence of samples,
            such as a torch `Dataset`, whose samples are mappings or tuples of inputs (`x`, or `x0`, `x1`, ...) and the
            target `y`.
        target: Column or array of the target, or a list of columns of several numbers or labels. Default: target,
            label, class, y or labels.
        name: Name of the study. Default: that of the file, or `data`.

    Raises:
        MissingFileError: There is no such file.
        DataError: The data are damaged or none of these, have no such target, or nothing that a network could read.

    Warns:
        DataWarning: Columns or arrays are left out, with the reason of each, or names differ only in case or spaces.

    Example:
        study = nasfuse.draft_study(frame, target="price")
        study["metric"] = "mae"
        run = nasfuse.search(study, data=frame, minutes=5)
    """
    with errors_in_python():
        return drafted(raw_of(data), source=source_of(data), target=target, name=name)


def drafted(raw: RawTable, *, source: str, target: str | Sequence[str] | None, name: str | None) -> dict[str, Any]:
    """Returns a study for raw data that are read from `source`; for the other arguments see `draft_study`."""
    draft = draft_data(raw, target=target)
    if draft.left_out:
        reasons = "; ".join(f"{column} ({reason})" for column, reason in draft.left_out.items())
        warnings.warn(f"{raw.origin}: left out of the study: {reasons}", DataWarning, stacklevel=3)
    values: dict[str, Any] = yaml.safe_load(study_text(raw, draft, name=name or study_name(raw), source=source))
    for finding in spelling_findings(raw, DataConfig.parse(expand_modalities(values)["data"])):
        warnings.warn(finding, DataWarning, stacklevel=3)
    return values


def raw_of(data: Any) -> RawTable:
    """Returns the raw data of a path or an object.

    Raises:
        MissingFileError: There is no such file.
        DataError: The data are damaged or of another kind.
    """
    return new_data(data) if isinstance(data, str | os.PathLike) else as_raw(data)


def source_of(data: Any) -> str:
    """Returns the `data.source` of a path, or what stands for an object until `search` has written it to a file."""
    if not isinstance(data, str | os.PathLike):
        return "handed over in Python"
    source = os.fspath(data)
    return os.path.abspath(source) if os.path.exists(source) else source
