"""Images in files as the vectors of a frozen encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nasfuse.data.columns.base import Problem
from nasfuse.data.columns.files import read_files
from nasfuse.data.columns.frozen_features import Cell, FrozenFeatures, key_of
from nasfuse.data.columns.image_files import opened_image
from nasfuse.data.raw_table import RawTable
from nasfuse.spec.modality import FrozenConfig, ImageFeaturesConfig


@dataclass(frozen=True)
class ImageFeatures(FrozenFeatures):
    """Vector of an image."""

    config_class: ClassVar[type[FrozenConfig]] = ImageFeaturesConfig

    @classmethod
    def cells(cls, raw: RawTable, column: str, where: str, known: frozenset[bytes]) -> Sequence[Cell | Problem | None]:
        """Returns the paths of the images; those that are not `known` are decoded once, to find damaged ones."""

        def load(path: Path) -> Cell:
            content = path.read_bytes()
            key = key_of(content)
            if key not in known:
                opened_image(content, mode="RGB")
            return Cell(key, path)

        return read_files(raw, column, where, load=load, rows=None)

    @staticmethod
    def decode(value: Any) -> Any:
        """Returns the image in a file as an RGB image of Pillow, in the orientation of its tag."""
        return opened_image(value.read_bytes(), mode="RGB")
