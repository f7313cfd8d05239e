"""A frozen encoder without a package, whose features and costs can be computed by hand."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from nasfuse.data.frozen import FROZEN_ENCODERS
from nasfuse.data.frozen.base import Encoded, FrozenEncoder

#: Weights of the letters a, b and c, and of the colours.
WEIGHTS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
#: Multiply-accumulates of one word, and of one image.
MACS = 6


class TinyEncoder(FrozenEncoder):
    """The sum of the weights of the letters of a text, or the mean colour of an image times the weights.

    Attributes:
        encoded: All values that were encoded, in order.
        loaded: Folder and options of every encoder that was loaded.
    """

    encoded: ClassVar[list] = []
    loaded: ClassVar[list] = []

    @classmethod
    def load(cls, folder, options):
        cls.loaded.append((folder, dict(options)))
        return cls()

    def encode(self, values):
        self.encoded.append(list(values))
        if not isinstance(values[0], str):
            colours = np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in values])
            return Encoded((torch.from_numpy(colours) @ WEIGHTS).numpy(), np.zeros(len(values), np.int64))
        words = [[[word.count(letter) for letter in "abc"] for word in text.split()] for text in values]
        features = [(torch.tensor(counts, dtype=torch.float32) @ WEIGHTS).sum(dim=0) for counts in words]
        return Encoded(torch.stack(features).numpy(), np.array([len(counts) for counts in words]))

    @classmethod
    def n_encoded(cls):
        return sum(len(values) for values in cls.encoded)


@pytest.fixture
def encoder_folder(tmp_path, monkeypatch):
    """The folder of a `TinyEncoder`, which stands for the package transformers; the user's cache folder is empty."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    for kind in ("text_features", "image_features"):
        monkeypatch.setitem(FROZEN_ENCODERS, (kind, "transformers"), TinyEncoder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NASFUSE_MODELS", raising=False)
    monkeypatch.setattr(TinyEncoder, "encoded", [])
    monkeypatch.setattr(TinyEncoder, "loaded", [])
    return folder
