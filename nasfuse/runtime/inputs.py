"""From arrays and columns of new data to the inputs of the graphs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.domain.row_counts import check_same_rows
from nasfuse.errors import DataError
from nasfuse.runtime.columns import table, tokens

Array = NDArray[Any]


def graph_inputs(inputs: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> dict[str, Array]:
    """Returns the inputs of the graphs by name.

    Args:
        inputs: Entry `inputs` of the program, with the entry `source` of each modality.
        data: Arrays or columns by name. A modality is an array of its name, or what its source names.

    Raises:
        DataError: A modality is absent, has another number of rows than the others or another shape than in the
            training, or has values that are not finite.
    """
    if not hasattr(data, "keys"):
        raise DataError(f"the data must be a mapping from names to arrays, got {type(data).__name__}; name the arrays")
    found: dict[str, Array] = {}
    absent = [one["name"] for one in inputs if _is_absent(one, data)]
    counts: dict[str, int] = {}
    for one in inputs:
        if one["name"] not in absent:
            found |= _of_modality(one, data, before=counts)
            counts[one["name"]] = len(found[one["name"]])
    if len(absent) == len(inputs):
        raise DataError(f"the data have no modality {inputs[0]['name']!r}; they have {', '.join(map(repr, data))}")
    for one in inputs:
        if one["name"] in absent:
            found |= _nothing(one, next(iter(counts.values())))
    return found


def _is_absent(modality: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    source = modality["source"]
    return bool(modality["can_be_absent"]) and modality["name"] not in data and not set(source["columns"]) & set(data)


def _check_rows(name: str, n_rows: int, before: Mapping[str, int]) -> None:
    check_same_rows({**before, name: n_rows}, noun="modality")
    if n_rows == 0:
        raise DataError("the data have no rows; give at least one")


def _of_modality(
    modality: Mapping[str, Any], data: Mapping[str, Any], *, before: Mapping[str, int]
) -> dict[str, Array]:
    """Returns the inputs of one modality; `before` has the numbers of rows of others."""
    values, lengths, present = _read(modality, data)
    name = modality["name"]
    _check_rows(name, len(values), before)
    if present is not None and present.shape != (len(values),):
        raise DataError(f"{name}.present must have a value for each of the {len(values)} rows of {name}; correct it")
    if modality["kind"] == "image":
        values = _channels_first(values, tuple(modality["shape"]))
    if modality["kind"] == "sequence" and values.ndim == 2 and modality["vocabulary"] is None:
        values = values[..., None]  # one feature
    if values.ndim == 1:
        raise _wrong_shape(modality, values)
    own_lengths = np.full(len(values), values.shape[1]) if lengths is None else np.asarray(lengths)
    values = _in_shape(modality, values, own_lengths)
    if modality["can_be_absent"]:
        present = _presence(modality, values, own_lengths, present)
    tensors = {name: values}
    if modality["masked"]:
        own_lengths = own_lengths.astype(np.int64)
        if present is not None:
            own_lengths = np.where(present, own_lengths, 0 if modality["vocabulary"] is not None else 1)
        tensors[f"{name}.lengths"] = own_lengths
    if modality["can_be_absent"]:
        assert present is not None
        tensors[f"{name}.present"] = present
        if not present.all():
            tensors[name] = np.where(present.reshape(-1, *[1] * (values.ndim - 1)), values, 0).astype(values.dtype)
    _check_values(modality, tensors[name])
    return tensors


def _read(modality: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Array, Array | None, Array | None]:
    """Returns the values of a modality, its lengths, and which samples have it, where the data tell."""
    name, source = modality["name"], modality["source"]
    present = np.asarray(data[f"{name}.present"], bool) if f"{name}.present" in data else None
    if name not in data or source["kind"] in ("table", "text"):
        if source["kind"] == "table" and set(source["columns"]) <= set(data):
            return table(source["features"], data), None, present
        if source["kind"] == "text" and source["columns"][0] in data and _is_text(data[source["columns"][0]]):
            ids, n_words, has_text = tokens(source, data)
            return ids, n_words, has_text if modality["can_be_absent"] else None
    given = source["array"] if source["array"] in data else name
    if given not in data:
        raise _absent_error(modality, data)
    try:
        values = np.asarray(data[given])
        if values.dtype == object and values.ndim == 1 and any(hasattr(one, "__len__") for one in values):
            values = np.array([np.asarray(one) for one in values])  # a column of arrays
    except ValueError as error:
        raise DataError(
            f"{given} has rows of different lengths (modality {name}); give one array, filled up at the end, and the "
            f"numbers of steps as {name}.lengths"
        ) from error
    if not values.ndim:
        raise DataError(
            f"{given} must have the values of each row, got a single {type(data[given]).__name__}; correct it"
        )
    if source["index"] in data and given == source["array"]:
        values = values[_rows_of(source["index"], data, n_values=len(values))]
    if source["shape"] is not None and given == source["array"]:
        values = values.reshape(len(values), *source["shape"])
    named = [key for key in (f"{name}.lengths", source["lengths"]) if key in data]
    lengths = np.asarray(data[named[0]]) if named else None
    return values, lengths, present


def _absent_error(modality: Mapping[str, Any], data: Mapping[str, Any]) -> DataError:
    """Returns the error of a modality of which the data lack everything, or some of the columns."""
    name, columns = modality["name"], modality["source"]["columns"]
    there = f"they have {', '.join(map(repr, data))}" if len(data) else "they are empty"
    lacking = [repr(column) for column in columns if column not in data]
    if len(lacking) < len(columns):
        noun = "column" if len(lacking) == 1 else "columns"
        return DataError(f"the data have no {noun} {', '.join(lacking)} (modality {name}); {there}")
    wanted = repr(name) if columns in ([], [name]) else f"{name!r}, and none of its columns {', '.join(lacking)}"
    if len(columns) == 1 and columns != [name]:
        wanted = f"{name!r} or {lacking[0]} (modality {name})"
    return DataError(f"the data have no {wanted}; {there}")


def _rows_of(index: str, data: Mapping[str, Any], *, n_values: int) -> Array:
    rows = np.asarray(data[index])
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or ((rows < 0) | (rows >= n_values)).any():
        raise DataError(f"{index} must have a number from 0 to {n_values - 1} for each row; correct it")
    return rows


def _is_text(values: Any) -> bool:
    return np.asarray(values).dtype.kind in "OU"


def _channels_first(values: Array, shape: tuple[int, ...]) -> Array:
    """Returns images (n, C, H, W) from (n, H, W), (n, H, W, C) or (n, C, H, W)."""
    if values.ndim == 3:
        return values[:, None]
    if values.ndim == 4 and values.shape[1:] != shape and values.shape[3] == shape[0]:
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    return values


def _in_shape(modality: Mapping[str, Any], values: Array, lengths: Array) -> Array:
    """Returns values in the type and shape of the graph; sequences are filled up with zeros at their end."""
    shape, dtype = tuple(modality["shape"]), np.dtype(modality["dtype"])
    if values.dtype.kind not in "biuf":
        raise DataError(f"modality {modality['name']} must hold numbers, got {values.dtype}; encode it first")
    if not modality["has_lengths"]:
        if values.shape[1:] != shape:
            raise _wrong_shape(modality, values)
        return values.astype(dtype, copy=False)
    most = shape[0]
    if values.ndim != len(shape) + 1 or values.shape[2:] != shape[1:]:
        raise _wrong_shape(modality, values)
    if lengths.shape != (len(values),) or (lengths < 0).any() or (lengths > min(most, values.shape[1])).any():
        raise DataError(
            f"modality {modality['name']} must have a length from 0 to {min(most, values.shape[1])} for each of its "
            f"{len(values)} samples; correct them"
        )
    n_steps = values.shape[1]
    if modality["padding"] == "left" and n_steps > 0:
        places = (np.arange(n_steps) + n_steps - lengths[:, None]) % n_steps
        values = values[np.arange(len(values))[:, None], places]
    filled = np.zeros((len(values), *shape), dtype)
    kept = min(most, n_steps)
    filled[:, :kept] = values[:, :kept]
    filled[np.arange(most) >= lengths[:, None]] = 0
    return filled


def _wrong_shape(modality: Mapping[str, Any], values: Array) -> DataError:
    shown = [" x ".join(map(str, shape)) or "()" for shape in (values.shape[1:], modality["shape"])]
    return DataError(
        f"modality {modality['name']} has samples of shape {shown[0]}, and the network was trained with {shown[1]}; "
        "give it data of the same form"
    )


def _presence(modality: Mapping[str, Any], values: Array, lengths: Array, given: Array | None) -> NDArray[np.bool_]:
    """Returns the samples that have a modality; those lack it whose numbers are all NaN."""
    found = np.ones(len(values), bool) if given is None else given
    if values.dtype.kind != "f":
        return found
    is_nan = np.isnan(values)
    if not modality["has_lengths"]:
        return np.asarray(found & ~is_nan.reshape(len(values), -1).all(axis=1))
    n_nan = is_nan.reshape(*values.shape[:2], -1).all(axis=2).sum(axis=1)
    return np.asarray(found & ~((n_nan == lengths) & (lengths > 0)))


def _check_values(modality: Mapping[str, Any], values: Array) -> None:
    if values.dtype.kind == "f":
        bad, rule = ~np.isfinite(values), "must be finite numbers"
    else:
        vocabulary = modality["vocabulary"]
        bad, rule = (values < 0) | (values >= vocabulary), f"must be ids from 0 to {vocabulary - 1}"
    if bad.any():
        row = int(bad.reshape(len(bad), -1).any(axis=1).argmax())
        raise DataError(f"modality {modality['name']}, row {row}: its values {rule}; correct or remove the row")


def _nothing(modality: Mapping[str, Any], n_rows: int) -> dict[str, Array]:
    """Returns the inputs of samples that all lack a modality."""
    name = modality["name"]
    tensors: dict[str, Array] = {name: np.zeros((n_rows, *modality["shape"]), modality["dtype"])}
    if modality["masked"]:
        tensors[f"{name}.lengths"] = np.full(n_rows, 0 if modality["vocabulary"] is not None else 1)
    return {**tensors, f"{name}.present": np.zeros(n_rows, bool)}
