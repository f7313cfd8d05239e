"""What a bundle reads of new data: for each modality its columns or arrays, and how they become its values."""

from typing import Any

from nasfuse.data.columns import TRANSFORMS, Transform
from nasfuse.data.columns.arrays import PlainArrays
from nasfuse.data.columns.base import column_of
from nasfuse.data.columns.hashed import Hashed
from nasfuse.data.columns.table import TableColumns
from nasfuse.data.columns.text import TextColumn
from nasfuse.data.columns.words import Words


def source_of(transform: Transform) -> dict[str, Any]:
    """Returns the entry `source` of a modality in the manifest of a bundle, for `nasfuse.runtime.inputs`.

    The runtime computes the features of tables and the ids of words. Everything else it gets as arrays, as the
    transform returns them: decoded images and recordings, ids of sub-words, features of frozen encoders.
    """
    source: dict[str, Any] = {
        "kind": _kind(transform),
        "columns": list(transform.columns),
        "array": None,
        "index": None,
        "lengths": None,
        "shape": None,
    }
    if isinstance(transform, PlainArrays):
        config = transform.config
        shape = None if config.shape is None else list(config.shape)
        array = None if config.arrays is not None else column_of(transform.name, config.array)[0]
        source |= {"kind": "arrays", "array": array, "index": config.index, "lengths": config.lengths, "shape": shape}
    elif isinstance(transform, TableColumns):
        source |= {"kind": "table", "features": transform.state()["features"]}
    elif isinstance(transform, TextColumn):
        vocabulary = transform.vocabulary
        if isinstance(vocabulary, Words):
            source |= {"kind": "text", "words": list(vocabulary.words), "n_shared": vocabulary.n_shared}
        elif isinstance(vocabulary, Hashed):
            source |= {"kind": "text", "words": [], "n_shared": vocabulary.n_buckets}
        source |= {"column": transform.columns[0], "n_steps": transform.n_steps}
    return source


def _kind(transform: Transform) -> str:
    """Returns the kind of a modality in recipes; texts of sub-words are `ids`."""
    if isinstance(transform, TextColumn):
        return "ids"
    return next(kind for kind, known in TRANSFORMS.items() if known is type(transform))
