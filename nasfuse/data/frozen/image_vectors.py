"""Images as the pooled features of a model of the package timm."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from nasfuse.data.extras import required
from nasfuse.data.frozen.base import Encoded, FrozenEncoder
from nasfuse.data.frozen.model_folder import check_model
from nasfuse.data.frozen.pretrained import as_array, device_of_encoders, refused


class ImageVectors(FrozenEncoder):
    """Model of timm without its classifier.

    Args:
        model: The model.
        transform: Returns the (C, H, W) input of the model for an image.
    """

    package: ClassVar[str] = "timm"
    extra: ClassVar[str] = "timm"

    def __init__(self, model: Any, transform: Any) -> None:
        self._model, self._transform = model, transform
        self._device = device_of_encoders()

    @classmethod
    def load(cls, folder: Path, options: Mapping[str, Any]) -> Self:
        """Returns the encoder in a folder; see `FrozenEncoder.load`.

        The classifier is loaded and then removed: timm checks that no weight is absent only if there is one.
        """
        purpose = "image_features with library: timm"
        timm = required(cls.package, extra=cls.extra, purpose=purpose)
        check_model(folder, where=purpose, kind="model of timm")

        def load() -> Any:
            model = timm.create_model(f"local-dir:{folder}", pretrained=True)
            model.reset_classifier(0)
            return model

        model = refused(load, folder, cls.package).eval().float().to(device_of_encoders())
        data = required("timm.data", extra=cls.extra, purpose=purpose)
        settings = data.resolve_model_data_config(model)
        return cls(model, data.create_transform(**settings, is_training=False))

    @torch.no_grad()
    def encode(self, values: Sequence[Any]) -> Encoded:
        """Returns the features of a batch of RGB images."""
        pixels = torch.stack([self._transform(image) for image in values])
        return Encoded(as_array(self._model(pixels.to(self._device))), np.zeros(len(values), np.int64))
