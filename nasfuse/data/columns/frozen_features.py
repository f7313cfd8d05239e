"""Vectors that a frozen encoder computes of the texts or images of a column."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from nasfuse.data.columns.base import ColumnTransform, Problem, Reading, Rows, column_of
from nasfuse.data.columns.files import present_of
from nasfuse.data.frozen import FROZEN_ENCODERS, FrozenEncoder
from nasfuse.data.frozen.base import Encoded
from nasfuse.data.frozen.feature_cache import FeatureCache, cache_of
from nasfuse.data.frozen.features import features_of
from nasfuse.data.frozen.macs import counted_macs
from nasfuse.data.frozen.model_folder import content_of, find_model
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import FrozenConfig


@dataclass(frozen=True)
class Cell:
    """A text or image.

    Attributes:
        key: Hash of its content.
        value: The text, or the path of the image.
    """

    key: bytes
    value: Any


@dataclass(frozen=True)
class FrozenFeatures(ColumnTransform):
    """Vector of a frozen encoder for the text or image of a row.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        content: Hash of the encoder, see `nasfuse.data.frozen.model_folder.content_of`.
        fill: (F,) mean of the training samples, which stands for a missing value.
        macs: Multiply-accumulates with which the features of a typical training sample are computed.
    """

    name: str
    config: FrozenConfig
    content: str
    fill: Tensor
    macs: int
    config_class: ClassVar[type[FrozenConfig]]

    @property
    def outside_macs(self) -> int:
        """Multiply-accumulates per sample of the encoder."""
        return self.macs

    @classmethod
    @abstractmethod
    def cells(cls, raw: RawTable, column: str, where: str, known: frozenset[bytes]) -> Sequence[Cell | Problem | None]:
        """Returns the value of each row, a problem, or None where it is missing.

        Args:
            raw: Table with the column.
            column: Name of the column.
            where: Key of the configuration that names it.
            known: Hashes of values that need not be checked, because their features are known.
        """

    @staticmethod
    @abstractmethod
    def decode(value: Any) -> Any:
        """Returns what the encoder reads of the value of a cell."""

    @classmethod
    def fit(cls, name: str, config: FrozenConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the mean features and the typical cost of the training samples.

        The features of all rows are computed, so that the encoder is loaded once. The typical sample is the training
        sample whose number of tokens is closest to the mean of the training samples.
        """
        where = f"data.modalities.{name}.folder"
        folder = find_model(config.folder, where=where)
        content = content_of(folder)
        load = _once(partial(_load, config.kind, config.library, folder, tuple(config.options.items())))
        cells, found, cache = cls._computed(name, config, raw, content, load=load, fits=True)
        training = [cell for row in rows if isinstance(cell := cells[row], Cell)]
        if not training:
            problem = next((f": {one.message}" for one in cells if isinstance(one, Problem)), "; name another column")
            column = column_of(name, config.column)[0]
            raise DataError(f"{raw.place(column)} has no value in the training samples that can be read{problem}")
        fill = np.mean([found[cell.key].features for cell in training], axis=0, dtype=np.float64)
        n_tokens = np.array([found[cell.key].n_tokens for cell in training])
        typical = training[int(abs(n_tokens - n_tokens.mean()).argmin())]
        macs = cache.macs(typical.key)
        if macs is None:
            macs = counted_macs(load(), cls.decode(typical.value))
            cache.add_macs(typical.key, macs)
        return cls(name, config, content, torch.from_numpy(fill.astype(np.float32)), macs)

    def read(self, raw: RawTable) -> Reading:
        """Returns (n, F) float32.

        Raises:
            DataError: The folder has another encoder than in the training.
            MissingFileError: There is no such folder.
        """
        where = f"modality {self.name}"
        load = partial(_kept, self.config, self.content, where)
        cells, found, _ = self._computed(self.name, self.config, raw, self.content, load=load, fits=False)
        features = np.empty((len(cells), len(self.fill)), np.float32)
        for row, cell in enumerate(cells):
            features[row] = found[cell.key].features if isinstance(cell, Cell) else self.fill.numpy()
        problems = tuple(cell for cell in cells if isinstance(cell, Problem))
        column = column_of(self.name, self.config.column)[0]
        return Reading(ModalityArrays("vector", features, present=present_of(cells)), problems, column)

    @classmethod
    def _computed(
        cls, name: str, config: FrozenConfig, raw: RawTable, content: str, *, load: Any, fits: bool
    ) -> tuple[Sequence[Cell | Problem | None], dict[bytes, Encoded], FeatureCache]:
        """Returns the cells of all rows, the features of their values, and the cache that has them."""
        column, where = column_of(name, config.column)
        cache = cache_of(raw, encoder=_identity(config, content), fits=fits)
        cells = cls.cells(raw, column, where, frozenset(cache.keys()))
        values = {cell.key: cell.value for cell in cells if isinstance(cell, Cell)}
        found = features_of(values, cache, load=load, decode=cls.decode, what=f"features of {name}")
        return cells, found, cache

    def state(self) -> dict[str, Any]:
        """Returns the description, the hash of the encoder, the mean features and the cost."""
        return {
            "name": self.name,
            "config": self.config.to_plain(),
            "content": self.content,
            "fill": self.fill,
            "macs": self.macs,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        config = cls.config_class.parse(state["config"])
        return cls(state["name"], config, state["content"], state["fill"], state["macs"])


def key_of(content: bytes) -> bytes:
    """Returns the hash of the content of a text or of a file."""
    return hashlib.sha256(content).digest()


def _identity(config: FrozenConfig, content: str) -> str:
    """Returns a hash of 32 hexadecimal digits over an encoder and its options."""
    return hashlib.sha256(f"{config.library} {sorted(config.options.items())} {content}".encode()).hexdigest()[:32]


def _load(kind: str, library: str, folder: Path, options: tuple[tuple[str, Any], ...]) -> FrozenEncoder:
    return FROZEN_ENCODERS[kind, library].load(folder, dict(options))


def _kept(config: FrozenConfig, content: str, where: str) -> FrozenEncoder:
    """Returns the encoder of a training; the last one is kept in memory for further predictions.

    Raises:
        MissingFileError: There is no such folder.
        DataError: The folder has another encoder.
    """
    folder = find_model(config.folder, where=where)
    found = content_of(folder)
    if found != content:
        raise DataError(
            f"{where}: {folder} has another frozen encoder (content {found[:12]}) than in the training "
            f"({content[:12]}), so its features would be others; put the encoder of the training there"
        )
    return _kept_load(config.kind, config.library, folder.absolute(), tuple(config.options.items()), content)


@lru_cache(maxsize=1)
def _kept_load(
    kind: str, library: str, folder: Path, options: tuple[tuple[str, Any], ...], content: str
) -> FrozenEncoder:
    return _load(kind, library, folder, options)


def _once(load: Any) -> Any:
    """Returns a function that calls `load` at its first call, and returns the same result at the others."""
    return lru_cache(maxsize=1)(load)
