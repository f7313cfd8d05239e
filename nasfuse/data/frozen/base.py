"""Interface of frozen encoders."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Encoded:
    """Features of a batch.

    Attributes:
        features: (b, F) float32.
        n_tokens: (b,) tokens of each text; 0 for images.
    """

    features: NDArray[np.float32]
    n_tokens: NDArray[np.int64]


class FrozenEncoder(ABC):
    """A pretrained model that computes one vector of each text or image; it is not trained.

    Attributes:
        package: Package that reads the folder.
        extra: Extra of nasfuse that installs the package.
    """

    package: ClassVar[str]
    extra: ClassVar[str] = "frozen"

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, options: Mapping[str, Any]) -> Self:
        """Returns the encoder in a folder, without access to the network and without running code from the folder.

        Args:
            folder: Folder of the encoder.
            options: Options of the modality that are set, see `nasfuse.spec.modality`.

        Raises:
            MissingPackageError: The package is not installed.
            DataError: The folder has no such encoder, or not all of its weights in safetensors.
        """

    @abstractmethod
    def encode(self, values: Sequence[Any]) -> Encoded:
        """Returns the features of a batch of texts, or of RGB images of Pillow; one value in float32 per feature."""
