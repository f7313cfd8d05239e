"""What stands for a modality that a sample lacks: the tokens of its mean, and a learned vector."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.nn.tokens import Tokens


class Placeholder(nn.Module):
    """Adds a learned vector to the tokens of samples without the modality. MACs: 0.

    The stem gets the mean of the modality for them (0 after standardisation; no step for token ids), so its tokens are
    the same for all of them. The vector starts at 0: an untrained placeholder is the mean of the modality.

    Attributes:
        shift: The vector, (d,).
    """

    def __init__(self, width: int) -> None:
        """Builds the placeholder of a stream with tokens of `width` features."""
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(width))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Networks without a placeholder used the mean, as a vector of zeros does.
        state_dict.setdefault(f"{prefix}shift", torch.zeros_like(self.shift))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, tokens: Tokens, present: Tensor | None) -> Tokens:
        """Returns the tokens after the stem, in which a sample without the modality has at least one real token.

        Args:
            tokens: Tokens of the stem.
            present: (b,) bool, true for samples that have the modality; None if all have it.
        """
        if present is None:
            return tokens
        absent = ~present
        values = tokens.values + absent[:, None, None] * self.shift
        cls = None if tokens.cls is None else tokens.cls + absent[:, None] * self.shift
        mask = tokens.mask
        if mask is not None:
            first = torch.arange(mask.shape[1], device=mask.device) == 0
            mask = mask | (absent[:, None] & first)
        return replace(tokens, values=values, cls=cls, mask=mask)
