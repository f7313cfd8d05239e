"""Frozen encoders: pretrained models in local folders, whose features of a text or an image are the input of a network.

A registry has one class per kind of modality and library. Features are computed once and kept in files, by the content
of the text or image and of the encoder.
"""

from nasfuse.data.frozen.base import FrozenEncoder
from nasfuse.data.frozen.image_vectors import ImageVectors
from nasfuse.data.frozen.pooled_patches import PooledPatches
from nasfuse.data.frozen.pooled_tokens import PooledTokens
from nasfuse.data.frozen.sentence_vectors import SentenceVectors

#: Encoders by `kind` and `library` of a modality in recipes.
FROZEN_ENCODERS: dict[tuple[str, str], type[FrozenEncoder]] = {
    ("text_features", "transformers"): PooledTokens,
    ("text_features", "sentence_transformers"): SentenceVectors,
    ("image_features", "transformers"): PooledPatches,
    ("image_features", "timm"): ImageVectors,
}

__all__ = ["FROZEN_ENCODERS", "FrozenEncoder"]
