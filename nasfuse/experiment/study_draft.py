"""A commented study for data that nobody has described yet."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml

from nasfuse.data.description import SPLITS
from nasfuse.data.draft import DataDraft, modality_name
from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.data.targets import as_classes, side_by_side
from nasfuse.domain.task import TASKS
from nasfuse.errors import counted

#: Rows below which networks are cross-validated.
_SMALL = 1000
#: Ratio of the largest to the smallest class above which accuracy says little.
_IMBALANCE = 4.0
#: Minutes of a search.
_MINUTES = 10
#: Space of networks for label maps, and what is set in all of them.
_DENSE_SPACE = (
    "space: dense  # convolutional encoders that are fused at several stages, with a decoder",
    "fixed:",
    "  training.batch_size: 4  # an image has many labelled pixels, so a step needs few images",
    "  training.flip: 0.5  # half of the images are mirrored; 0 if left and right differ",
    "  training.jitter: 0.4  # contrast and brightness are changed; 0 if absolute values tell the classes apart",
)
#: Kind of a modality to that with the features of a frozen encoder.
_FROZEN = {"text": "text_features", "image_files": "image_features"}


def study_text(raw: RawTable, draft: DataDraft, *, name: str, source: str) -> str:
    """Returns a study file with comments that say what was assumed, what was left out, and why.

    Args:
        raw: The data.
        draft: Their description.
        name: Name of the study.
        source: `data.source`.
    """
    n_rows, is_dense = len(raw.columns[draft.targets[0]]), TASKS[draft.task].is_dense
    metric, why = _metric(raw, draft)
    lines = [
        f"# A first study for {raw.origin}: {counted(n_rows, 'row')}, "
        f"{counted(len(raw.columns), raw.noun)}. Every line can be changed.",
        "# docs/spaces.md explains the fields, docs/data.md the kinds of modalities.",
        f"name: {name}",
        "data:",
        f"  source: {_value(source)}",
        "  modalities:",
    ]
    for modality, entry in draft.modalities.items():
        lines += _modality_lines(modality, entry, draft.notes)
    lines += _text_lines(raw, draft)
    if not is_dense:  # a vector of a whole image has no pixels
        lines += _frozen_lines(draft)
    if draft.aligned:
        lines.append(f"  aligned: {_value(list(draft.aligned))}  # show the same place pixel by pixel")
    lines.append(f"  target: {_value(draft.target)}{_comment(draft.notes.get(draft.targets[0]))}")
    lines.append(f"  task: {draft.task}")
    if draft.classes is not None:
        lines.append(f"  classes: {_value(list(draft.classes))}  # in this order")
    if draft.void is not None:
        lines.append(f"  void: {_value(draft.void)}  # pixels without a label, which is no class")
    if draft.split is not None:
        lines.append(f"  split: {_value(draft.split)}")
    else:
        lines.append("  # no column split with train, val and test: rows are divided 80/10/10")
    if draft.group is not None:
        lines.append(f"  group: {_value(draft.group)}  # rows of one group are never divided between splits")
    if draft.metadata:
        lines.append(f"  metadata: {_value(list(draft.metadata))}  # no inputs; results are also shown by their values")
    if n_rows < _SMALL and not _has_val(raw, draft) and not is_dense:
        lines.append(f"  validation: {{folds: 5}}  # cross-validated: under {_SMALL:,} rows; 5 times as slow")
    if draft.left_out:
        lines.append("  # left out:")
        lines += [f"  #   {_value(column)}: {' '.join(reason.split())}" for column, reason in draft.left_out.items()]
    lines += [
        f"metric: {metric}  # {why}",
        *(_DENSE_SPACE if is_dense else ("space: full  # all encoders and fusions",)),
        f"budget: {{minutes: {2 * _MINUTES if is_dense else _MINUTES}}}  # more minutes find better networks",
        "seed: 0",
    ]
    return "\n".join(lines) + "\n"


def study_name(raw: RawTable) -> str:
    """Returns a name for a study of raw data, without characters that names of studies cannot have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", raw.name).strip("._-") or "study"


def _modality_lines(name: str, entry: Any, notes: dict[str, str]) -> list[str]:
    if isinstance(entry, str):
        return [f"    {_value(name)}: {entry}"]
    columns = entry.get("columns")
    if columns is None:
        column = entry.get("column", entry.get("array", name))
        plain = {key: value for key, value in entry.items() if (key, value) not in (("column", name), ("array", name))}
        text = _value(plain) if len(plain) > 1 else plain["kind"]
        return [f"    {_value(name)}: {text}{_comment(notes.get(column))}"]
    lines = [f"    {_value(name)}:", f"      kind: {entry['kind']}", "      columns:  # number, category or date"]
    return [*lines, *(f"        {_value(one)}: {kind}{_comment(notes.get(one))}" for one, kind in columns.items())]


def _text_lines(raw: RawTable, draft: DataDraft) -> list[str]:
    """Returns how a category of words is read as text; empty without such a category."""
    entries = [entry for entry in draft.modalities.values() if not isinstance(entry, str)]
    kinds = [pair for entry in entries for pair in entry.get("columns", {}).items()]
    words = [column for column, kind in kinds if kind == "category" and _is_text(raw, column)]
    if not words:
        return []
    name = modality_name(words[0], draft.modalities)
    entry = "text" if name == words[0] else _value({"kind": "text", "column": words[0]})
    title = "  # to read a category as text, remove its line above and add such a modality:"
    return [title, f"  #   {_value(name)}: {entry}"]


def _is_text(raw: RawTable, column: str) -> bool:
    return any(isinstance(value, str) for value in raw.columns[column])


def _frozen_lines(draft: DataDraft) -> list[str]:
    """Returns how texts and images would be read by a pretrained encoder; empty without such modalities."""
    lines = []
    for name, entry in draft.modalities.items():
        plain = {"kind": entry} if isinstance(entry, str) else entry
        if (kind := _FROZEN.get(plain["kind"])) is not None:
            column = {"column": plain["column"]} if plain.get("column", name) != name else {}
            lines.append(f"  #   {_value(name)}: {_value({'kind': kind, **column, 'folder': 'FOLDER'})}")
    title = "  # with a pretrained encoder in a local folder instead (docs/data.md, Frozen encoders):"
    return [title, *lines] if lines else []


def _has_val(raw: RawTable, draft: DataDraft) -> bool:
    return draft.split is not None and "val" in {SPLITS[text] for text in texts(raw.columns[draft.split])}


def _metric(raw: RawTable, draft: DataDraft) -> tuple[str, str]:
    if TASKS[draft.task].is_dense:
        return "miou", "mean over the classes of intersection over union; pixel_accuracy would hide rare classes"
    if not TASKS[draft.task].has_classes:
        return "r2", "share of the variance that is explained; mae is an error in the unit of the target"
    if not TASKS[draft.task].is_exclusive:
        return "macro_f1", "mean over the labels"
    targets, _ = as_classes(f"{raw.origin}: the labels", _labels(raw, draft.targets))
    counts = np.unique(targets, return_counts=True)[1]
    if counts.max() > _IMBALANCE * counts.min():
        return (
            "macro_f1",
            f"the classes have from {counts.min()} to {counts.max()} samples; accuracy would hide rare ones",
        )
    return "accuracy", f"the classes have from {counts.min()} to {counts.max()} samples"


def _labels(raw: RawTable, columns: Sequence[str]) -> Any:
    """Returns the targets of the rows that have all of them."""
    parts = [raw.columns[column] for column in columns]
    labelled = ~np.any([missing(part) for part in parts], axis=0)
    if len(parts) > 1:
        return side_by_side(raw, columns, [part[labelled] for part in parts])
    values = parts[0][labelled]
    return np.array([str(value) for value in values]) if values.dtype.kind == "O" else values


def _comment(note: str | None) -> str:
    return f"  # {note}" if note else ""


def _value(value: Any) -> str:
    """Returns a value as YAML on one line."""
    options: dict[str, Any] = {"default_flow_style": True, "width": 10**6, "allow_unicode": True, "sort_keys": False}
    text = str(yaml.safe_dump(value, **options)).removesuffix("...\n").strip()
    return text if "\n" not in text else str(yaml.safe_dump(value, **options, default_style='"')).strip()
