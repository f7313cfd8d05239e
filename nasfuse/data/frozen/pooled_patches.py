"""Images as the pooled states of a pretrained transformer or convolutional network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from nasfuse.data.frozen.base import Encoded, FrozenEncoder
from nasfuse.data.frozen.pretrained import as_array, load_part, load_pretrained, pooled, projection_of, vector_of
from nasfuse.errors import DataError


class PooledPatches(FrozenEncoder):
    """Model and image processor of the package transformers.

    Args:
        model: The model.
        processor: Resizes and normalises images.
        pooling: `mean` or `first`; None: the projection of the model if it has one, else `mean`.
    """

    package: ClassVar[str] = "transformers"

    def __init__(self, model: Any, processor: Any, *, pooling: str | None) -> None:
        self._model, self._processor = model, processor
        self._project = projection_of(model, "get_image_features", pooling)
        self._pooling = pooling or "mean"

    @classmethod
    def load(cls, folder: Path, options: Mapping[str, Any]) -> Self:
        """Returns the encoder in a folder; see `FrozenEncoder.load`."""
        purpose = "image_features with library: transformers"
        model = load_pretrained(folder, purpose=purpose)
        processor = load_part("AutoImageProcessor", folder, purpose=purpose)
        return cls(model, processor, pooling=options.get("pooling"))

    @torch.no_grad()
    def encode(self, values: Sequence[Any]) -> Encoded:
        """Returns the features of a batch of RGB images."""
        pixels = self._processor(images=list(values), return_tensors="pt")["pixel_values"].to(self._model.device)
        if self._project is not None:
            features = vector_of(self._project(pixel_values=pixels))
        else:
            states = self._model(pixel_values=pixels).last_hidden_state
            if states.dim() == 4:  # (b, d, h, w) of a convolutional network
                if self._pooling == "first":
                    raise DataError(f"pooling: {type(self._model).__name__} has positions and no first token; use mean")
                states = states.flatten(2).mT
            features = pooled(states, None, self._pooling)
        return Encoded(as_array(features), np.zeros(len(values), np.int64))
