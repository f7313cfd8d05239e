"""How raw columns become modalities: one module per kind, fitted on training samples."""

from nasfuse.data.columns.array_files import ArrayFiles
from nasfuse.data.columns.arrays import PlainArrays
from nasfuse.data.columns.audio_files import AudioFiles
from nasfuse.data.columns.base import Problem, Reading, Transform
from nasfuse.data.columns.image_features import ImageFeatures
from nasfuse.data.columns.image_files import ImageFiles
from nasfuse.data.columns.table import TableColumns
from nasfuse.data.columns.text import TextColumn
from nasfuse.data.columns.text_features import TextFeatures

#: Transforms by `kind` of a modality in recipes.
TRANSFORMS: dict[str, type[Transform]] = {
    "vector": PlainArrays,
    "sequence": PlainArrays,
    "image": PlainArrays,
    "table": TableColumns,
    "text": TextColumn,
    "image_files": ImageFiles,
    "audio_files": AudioFiles,
    "array_files": ArrayFiles,
    "text_features": TextFeatures,
    "image_features": ImageFeatures,
}

__all__ = ["TRANSFORMS", "Problem", "Reading", "Transform"]
