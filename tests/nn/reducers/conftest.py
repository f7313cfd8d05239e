"""Tokens as a transformer stage gives them to its reducer."""

import pytest
import torch

from nasfuse.nn.attention import TransformerBlock
from nasfuse.nn.tokens import Tokens

WIDTH, HEADS = 8, 2


@pytest.fixture
def block():
    return TransformerBlock(WIDTH, heads=HEADS, mlp_ratio=2, dropout=0.0)


@pytest.fixture
def make_tokens():
    """Random tokens with masks of the given lengths, and CLS where asked for."""

    def make(n_tokens, *, lengths=None, n_samples=3, cls=True):
        n_samples = n_samples if lengths is None else len(lengths)
        mask = None if lengths is None else torch.arange(n_tokens) < torch.tensor(lengths)[:, None]
        return Tokens(torch.randn(n_samples, n_tokens, WIDTH), mask, cls=torch.randn(n_samples, WIDTH) if cls else None)

    return make
