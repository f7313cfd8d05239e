"""Texts as the pooled states of the tokens of a pretrained transformer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from nasfuse.data.frozen.base import Encoded, FrozenEncoder
from nasfuse.data.frozen.pretrained import (
    as_array,
    check_tokenizer,
    load_part,
    load_pretrained,
    pooled,
    projection_of,
    vector_of,
)

#: Tokens of a text if neither the tokenizer nor the model has a limit.
_MOST_TOKENS = 512


class PooledTokens(FrozenEncoder):
    """Model and tokenizer of the package transformers.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        pooling: `mean` or `first`; None: the projection of the model if it has one, else `mean`.
        length: Tokens after which texts are cut; None: the limit of the tokenizer and the model.
    """

    package: ClassVar[str] = "transformers"

    def __init__(self, model: Any, tokenizer: Any, *, pooling: str | None, length: int | None) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._project = projection_of(model, "get_text_features", pooling)
        self._pooling = pooling or "mean"
        config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
        limits = (length, tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
        self._n_tokens = min(limit for limit in limits if limit) if any(limits) else _MOST_TOKENS
        if self._n_tokens > 10**9:  # how a tokenizer says that it has none
            self._n_tokens = _MOST_TOKENS
        tokenizer.padding_side = "right"  # the first token is that of the text
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    @classmethod
    def load(cls, folder: Path, options: Mapping[str, Any]) -> Self:
        """Returns the encoder in a folder; see `FrozenEncoder.load`."""
        purpose = "text_features with library: transformers"
        model = load_pretrained(folder, purpose=purpose)
        tokenizer = load_part("AutoTokenizer", folder, purpose=purpose)
        check_tokenizer(tokenizer, folder)
        return cls(model, tokenizer, pooling=options.get("pooling"), length=options.get("length"))

    @torch.no_grad()
    def encode(self, values: Sequence[Any]) -> Encoded:
        """Returns the features of a batch of texts."""
        found = self._tokenizer(
            list(values), padding=True, truncation=True, max_length=self._n_tokens, return_tensors="pt"
        )
        inputs = {key: value.to(self._model.device) for key, value in found.items()}
        mask = inputs["attention_mask"]
        if self._project is not None:
            features = vector_of(self._project(**inputs))
        else:
            features = pooled(self._model(**inputs).last_hidden_state, mask, self._pooling)
        return Encoded(as_array(features), mask.sum(dim=1).cpu().numpy())
