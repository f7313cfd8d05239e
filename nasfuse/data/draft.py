"""A first description of raw data: which column is the target, what the others are, and which are left out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nasfuse.data.array_draft import draft_arrays
from nasfuse.data.columns.number import parsed_numbers
from nasfuse.data.columns.table import are_dates, guess_type
from nasfuse.data.description import SPLITS
from nasfuse.data.image_draft import draft_images
from nasfuse.data.label_draft import draft_labels, draft_metadata, is_label_map
from nasfuse.data.raw_table import Array, RawTable, missing, texts
from nasfuse.data.recording_draft import draft_recordings
from nasfuse.data.sources.folder import IMAGE_ENDINGS
from nasfuse.data.sources.label_folder import is_label_folder
from nasfuse.data.targets import as_classes, side_by_side
from nasfuse.domain.task import TASKS
from nasfuse.errors import DataError, counted, listed

#: Names of columns that are taken for the target, in order of preference.
TARGETS = ("target", "label", "class", "y", "labels")
#: Names of columns that are taken for groups if their values repeat.
GROUPS = (
    "group",
    *(f"{one}{end}" for one in ("patient", "subject", "person", "speaker", "user") for end in ("", "_id")),
)
#: Names of columns of identifiers; the last one is that of pandas for a column without a name.
_IDENTIFIER = r"(?i)(.*[_ ])?(id|idx|index|uuid|guid|key)|unnamed: \d+"
#: Endings of recordings.
AUDIO_ENDINGS = (".wav", ".flac", ".ogg")

#: Functions that describe the files of a column, by kind of modality, as entry and addition to its note.
_OF_FILES = {"image_files": draft_images, "audio_files": draft_recordings}

#: Values from which a type is guessed.
_LOOK_AT = 2000
#: Mean number of words of a text; below, it is a category or identifies rows.
_TEXT_WORDS = 3.0
#: Distinct values per row above which a column of text is no category.
_MOST_CATEGORIES = 0.5
#: Share of numbers or dates in a column of text from which the other values are taken for mistakes.
_NEARLY_ALL = 0.9
#: A number with a sign of currency before it, or a unit behind it.
_NUMBER_WITH_UNIT = r"(?P<sign>[^\w\s.,+-]?)\s*[-+]?\d+([.,]\d+)*\s*(?P<unit>[^\d\s]{0,10})"
#: Distinct values of a whole number up to which it is a class.
_MOST_CLASSES, _SHARE_OF_CLASSES = 20, 0.02


@dataclass(frozen=True)
class DataDraft:
    """A first description of raw data.

    Attributes:
        modalities: `data.modalities` as plain values.
        targets: Column of the target, or the columns of several.
        task: Kind of task.
        classes: `data.classes`, for whole numbers with gaps or below 0; None where the classes need no list.
        void: `data.void`, of label maps; None if all their numbers are classes.
        metadata: Columns that are no inputs and tell kinds of samples apart, of data with label maps.
        split: Column of the splits; None if there is none.
        group: Column of the groups; None if there is none.
        notes: Why a column is what it is, by column.
        left_out: Why a column is not used, by column.
    """

    modalities: dict[str, Any]
    targets: tuple[str, ...]
    task: str
    classes: tuple[str, ...] | None
    void: int | str | None
    metadata: tuple[str, ...]
    split: str | None
    group: str | None
    notes: dict[str, str]
    left_out: dict[str, str]

    @property
    def target(self) -> str | tuple[str, ...]:
        """Returns `data.target`: one column, or several."""
        return self.targets[0] if len(self.targets) == 1 else self.targets

    @property
    def aligned(self) -> tuple[str, ...]:
        """Returns `data.aligned`: the images that belong to label maps, if there are several."""
        return tuple(self.modalities) if TASKS[self.task].is_dense and len(self.modalities) > 1 else ()


def draft_data(raw: RawTable, *, target: str | Sequence[str] | None = None) -> DataDraft:
    """Returns a first description of raw data.

    Args:
        raw: Columns or arrays.
        target: Column of the target, or columns of several numbers or labels. Default: a column called target, label,
            class, y or labels.

    Raises:
        DataError: There is no such column, or no column that a network could read.
    """
    targets = _target_names(raw, target)
    target, parts = targets[0], [raw.column(name, "--target") for name in targets]
    values = parts[0] if len(parts) == 1 else side_by_side(raw, targets, parts)
    split = next((name for name in raw.columns if name.lower() == "split" and _is_split(raw.columns[name])), None)
    if values.ndim == 0 or not len(values):
        raise DataError(f"{raw.place(target)} must hold one target per row, got shape {values.shape}; name another one")
    if len(targets) == 1 and is_label_map(raw, target):
        return _with_labels(raw, target, split)
    labelled = values[~np.any([missing(part) for part in parts], axis=0)]
    if not len(labelled):
        if len(targets) > 1:
            raise DataError(f"{raw.origin} has no row with all of {listed(targets)}; name other ones")
        raise DataError(f"{raw.place(target)} has no value; name another one")
    task, why = guess_task(labelled)
    n_without = len(values) - len(labelled)
    gaps = f"; {n_without} of {counted(len(values), 'row')} have no label: remove these rows" if n_without else ""
    notes = {target: f"{why}{gaps}"}
    group = next((name for name in raw.columns if name.lower() in GROUPS and _is_group(raw, name, target, split)), None)
    roles = tuple(name for name in (*targets, split, group) if name is not None)
    if raw.n_rows is None:
        modalities, left_out = _from_arrays(raw, target, roles)
    else:
        modalities, left_out = _from_columns(raw, target, roles, notes)
    if not modalities:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        what = listed(targets)
        raise DataError(f"{raw.origin} has no {raw.noun} from which {what} could be predicted ({reasons or 'empty'})")
    classes = _classes(labelled) if TASKS[task].is_exclusive and len(targets) == 1 else None
    return DataDraft(modalities, targets, task, classes, None, (), split, group, notes, left_out)


def _with_labels(raw: RawTable, target: str, split: str | None) -> DataDraft:
    """Returns the description of data whose target is a label map per sample."""
    draft, n_samples = draft_labels(raw, target), len(raw.columns[target])
    if not draft.modalities:
        raise DataError(f"{raw.origin} has no images of the size of the label maps {target}; add them")
    group = next((name for name in raw.columns if name.lower() in GROUPS and _is_group(raw, name, target, split)), None)
    used = [name for name in (target, split, group, *draft.modalities) if name is not None]
    metadata = draft_metadata(raw, n_samples, used)
    others = [name for name in raw.columns if name not in {*used, *metadata, *draft.named_in}]
    left_out = dict.fromkeys(
        others, "it has neither images of the size of the label maps nor a few values by which results could be shown"
    )
    task = next(name for name, entry in TASKS.items() if entry.is_dense)
    notes = {target: draft.note}
    return DataDraft(
        draft.modalities, (target,), task, draft.classes, draft.void, metadata, split, group, notes, left_out
    )


def _target_names(raw: RawTable, target: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the names of the columns of the target."""
    if target is None:
        return (find_target(raw),)
    names = (target,) if isinstance(target, str) else tuple(dict.fromkeys(target))
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"target must be the name of a column, or a list of such names, got {target!r}")
    return names


def find_target(raw: RawTable) -> str:
    """Returns the column that is called like a target.

    Raises:
        DataError: There is none.
    """
    by_name = {name.lower(): name for name in reversed(list(raw.columns))}
    found = next((by_name[name] for name in TARGETS if name in by_name), None)
    labels = [name for name in raw.columns if is_label_folder(name)]
    if found is None and len(labels) == 1:
        return labels[0]
    if found is None:
        raise DataError(
            f"{raw.origin} has no {raw.noun} called {', '.join(TARGETS[:-1])} or {TARGETS[-1]}; name the target with "
            f"--target. {raw.noun.capitalize()}s: {listed(raw.columns)}"
        )
    return found


def guess_task(targets: Array) -> tuple[str, str]:
    """Returns the kind of task of raw targets, and why.

    >>> guess_task(np.array(["cat", "dog"])), guess_task(np.array([0.5, 1.5]))
    (('multiclass', '2 classes'), ('regression', 'real numbers'))
    """
    values = targets if targets.dtype.kind != "O" else np.array(texts(targets))
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "biuf":
        if not np.isin(values, (0, 1)).all():
            return "regression", f"{values.shape[1]} real numbers"
        is_one_hot = bool((values.sum(axis=1) == 1).all())
        kind = ("multiclass", "one-hot rows of {} classes") if is_one_hot else ("multilabel", "{} labels")
        return kind[0], kind[1].format(values.shape[1])
    n_distinct = len(np.unique(values))
    if values.dtype.kind not in "iuf":
        return "multiclass", counted(n_distinct, "class")
    given = values[~missing(values)]
    if (given != np.round(given)).any():
        return "regression", "real numbers"
    if n_distinct <= max(_MOST_CLASSES, min(_SHARE_OF_CLASSES * len(values), 1000)):
        return "multiclass", counted(n_distinct, "class")
    return "regression", f"whole numbers with {n_distinct} different values"


def _classes(targets: Array) -> tuple[str, ...] | None:
    """Returns the classes in their order, if they are whole numbers that are no class numbers by themselves."""
    if targets.dtype.kind not in "iuf":
        return None
    numbers, names = as_classes("the target", targets)
    if names or numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        return None
    occurring = np.unique(numbers)
    is_numbered = occurring[0] == 0 and occurring[-1] == len(occurring) - 1
    return None if is_numbered or len(occurring) == 1 else tuple(str(one) for one in occurring.tolist())


def _from_arrays(raw: RawTable, target: str, roles: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    modalities = draft_arrays(raw.columns, target=target, used=roles)
    entries = [entry for entry in modalities.values() if isinstance(entry, dict)]
    used = {*roles, *modalities, *(entry[key] for entry in entries for key in ("lengths", "index") if key in entry)}
    left = {name: values for name, values in raw.columns.items() if name not in used}
    n_rows = len(raw.columns[target])
    return modalities, {name: _why_left(values, target, n_rows) for name, values in left.items()}


def _why_left(values: Array, target: str, n_rows: int) -> str:
    """Returns why an array is no modality."""
    what = f"{values.dtype} of shape {values.shape}"
    if values.ndim and len(values) != n_rows:
        return f"{what}, which is not a row for each of the {n_rows} of {target}"
    return f"{what}, no modality by itself"


def _from_columns(
    raw: RawTable, target: str, roles: tuple[str, ...], notes: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the modalities of a table and the columns that are left out; adds to `notes`."""
    table: dict[str, str] = {}
    own: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    scalars = tuple(name for name, values in raw.columns.items() if values.ndim == 1)
    arrays = draft_arrays(raw.columns, target=target, used=(*roles, *scalars))
    lengths = [entry["lengths"] for entry in arrays.values() if isinstance(entry, dict) and "lengths" in entry]
    for name in raw.columns:
        if name in roles or name in lengths:
            continue
        values = raw.columns[name]
        reason = _useless(name, values)
        if reason is not None:
            left_out[name] = reason
            continue
        kind, note = guess_kind(raw, name)
        notes[name] = note
        if kind in ("number", "category", "date"):
            table[name] = kind
        elif kind == "none":
            left_out[name] = note
        elif name in arrays:
            drafted = arrays[name] if isinstance(arrays[name], dict) else {"kind": arrays[name]}
            own[modality_name(name, own)] = {**drafted, "array": name}
        elif kind in _OF_FILES:
            own[modality_name(name, own)], more = _OF_FILES[kind](raw, name)
            notes[name] += more
        else:
            own[modality_name(name, own)] = _entry(raw, name, kind)
    modalities: dict[str, Any] = {}
    if table:
        modalities[modality_name("table", own)] = {"kind": "table", "columns": table}
    return {**modalities, **own}, left_out


def guess_kind(raw: RawTable, name: str) -> tuple[str, str]:
    """Returns what a column of a table is, and why: a type of column, a kind of modality, or `none`."""
    values = raw.columns[name]
    if values.ndim > 1:
        kind = {2: "vector", 3: "sequence", 4: "image"}.get(values.ndim, "none")
        return kind, f"arrays of {' x '.join(map(str, values.shape[1:]))}"
    n_missing = int(missing(values).sum())
    gaps = f", {n_missing} missing" if n_missing else ""
    if values.dtype.kind in "iu" and re.fullmatch(_IDENTIFIER, name):
        return "category", f"{len(np.unique(values))} numbers that name something{gaps}"
    if values.dtype.kind != "O":
        return guess_type(values), f"{'dates' if values.dtype.kind == 'M' else 'numbers'}{gaps}"
    given = [value for value in values if value is not None][:_LOOK_AT]
    cells = [value for value in given if isinstance(value, np.ndarray) and value.size]
    if cells and all(cell.dtype.kind in "biuf" and cell.ndim <= 2 for cell in cells):
        return "sequence", f"lists of different lengths{gaps}"
    if any(isinstance(value, np.ndarray) for value in given):
        return "none", "lists that are empty, or no numbers of one shape"
    named = [text for text in texts(values) if text]
    endings = {Path(text).suffix.lower() for text in named[:_LOOK_AT]}
    for kind, known in (("image_files", IMAGE_ENDINGS), ("audio_files", AUDIO_ENDINGS), ("array_files", (".npy",))):
        if endings <= set(known):
            return kind, f"paths of {', '.join(sorted(endings))} files{gaps}"
    kind = guess_type(np.array([*given, None], dtype=object)[:-1])
    if kind != "category":
        return kind, f"{kind}s as text{gaps}"
    reason = _nearly_all(values)
    if reason is not None:
        return "none", reason
    n_distinct = len(set(named))
    names_rows = n_distinct > _MOST_CATEGORIES * len(named)
    words = [text.split() for text in named[:_LOOK_AT]]
    n_words = float(np.mean([len(one) for one in words]))
    has_common_words = len({word for one in words for word in one}) < len(set(named[:_LOOK_AT]))
    if n_words >= _TEXT_WORDS and (names_rows or has_common_words):
        return "text", f"{n_words:.0f} words on average{gaps}"
    unit = _unit(named)
    if names_rows and unit is not None:
        return "none", f"numbers with {unit!r}, such as {named[0]!r}: write them alone"
    if names_rows:
        return "none", f"{n_distinct} different values in {len(named)} rows, so it identifies rows"
    return "category", f"{counted(n_distinct, 'category')}{gaps}"


def _unit(named: Sequence[str]) -> str | None:
    """Returns what nearly all values have before or behind a number, such as `EUR`; None if there is no such thing."""
    matches = [re.fullmatch(_NUMBER_WITH_UNIT, text.strip()) for text in named]
    units = Counter(f"{one['sign']}{one['unit']}" for one in matches if one is not None)
    unit, n = units.most_common(1)[0] if units else ("", 0)
    return unit if unit and n > _NEARLY_ALL * len(named) else None


def _nearly_all(values: Array) -> str | None:
    """Returns which value keeps a column of text from being numbers or dates; None if there is more than a few."""
    rows = np.flatnonzero(~missing(values))
    given = values[rows]
    for noun, fits in (("numbers", ~np.isnan(parsed_numbers(given))), ("dates", are_dates(given))):
        if _NEARLY_ALL * len(rows) < fits.sum() < len(rows):
            row = rows[np.argmin(fits)]
            what = f"row {row} is {str(values[row])!r}: correct it or leave it empty"
            return f"{fits.sum()} of {len(rows)} values are {noun}; {what}"
    return None


def _useless(name: str, values: Array) -> str | None:
    """Returns why a column cannot help; None if it may."""
    absent = missing(values)
    if absent.all():
        return "all values are missing"
    if values.dtype.kind not in "biufOUM":
        return f"its type {values.dtype} is not supported"
    if values.ndim > 1:
        return "it is constant" if (values == values[:1]).all() else None
    is_text = values.dtype.kind == "O" and not any(isinstance(value, np.ndarray) for value in values)
    if not is_text and values.dtype.kind == "O":
        return None
    distinct = np.unique(np.array(texts(values))[~absent] if is_text else values[~absent])
    if len(distinct) == 1 and not absent.any():
        return f"it is constant ({distinct[0]})"
    if re.fullmatch(_IDENTIFIER, name) and len(distinct) > len(values) / 2:
        return "its name and its values identify rows"
    if values.dtype.kind in "iu" and len(distinct) == len(values) and distinct[-1] - distinct[0] == len(values) - 1:
        return "it numbers the rows"
    return None


def _entry(raw: RawTable, name: str, kind: str) -> dict[str, Any]:
    values = raw.columns[name]
    column = "array" if kind in ("vector", "sequence", "image") else "column"
    entry: dict[str, Any] = {"kind": kind, column: name}
    if kind == "array_files":
        entry["contents"] = _contents(raw, name)
    cells = [value for value in values if isinstance(value, np.ndarray)] if values.dtype.kind == "O" else []
    if kind == "sequence" and cells and all(cell.ndim == 1 and cell.dtype.kind in "iu" for cell in cells if cell.size):
        entry["vocabulary"] = max(int(max(cell.max() for cell in cells if cell.size)) + 1, 2)
    return entry


def _contents(raw: RawTable, name: str) -> str:
    """Returns the kind of the arrays in the files of a column, from the first one that can be read."""
    for path in [text for text in texts(raw.columns[name]) if text][:20]:
        try:
            found = np.load(raw.folder / path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        return {1: "vector", 2: "sequence"}.get(found.ndim, "image")
    return "vector"


def modality_name(column: str, taken: Mapping[str, Any]) -> str:
    """Returns a name of a modality for a column, see `nasfuse.spec.data.Name`."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", column).strip("_") or "column"
    name = name if re.match(r"[A-Za-z_]", name) else f"_{name}"
    while name in taken:
        name += "_"
    return name


def _is_split(values: Array) -> bool:
    return (
        values.ndim == 1
        and values.dtype.kind in "OU"
        and {SPLITS.get(text) for text in texts(values)} <= {*SPLITS.values()}
    )


def _is_group(raw: RawTable, name: str, target: str, split: str | None) -> bool:
    """Returns whether the values of a column repeat, and none is in test and in another split."""
    values, targets = raw.columns[name], raw.columns[target]
    if values.ndim != 1 or len(values) != len(targets) or missing(values).any():
        return False
    codes = np.unique(np.array(texts(values)), return_inverse=True)[1]
    if not 1 < codes.max() + 1 <= len(values) / 2:
        return False
    in_test = (
        np.zeros(len(values), bool)
        if split is None
        else np.array([SPLITS[text] for text in texts(raw.columns[split])]) == "test"
    )
    return len(np.intersect1d(codes[in_test], codes[~in_test])) == 0
