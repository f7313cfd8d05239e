"""Learned vectors: their first numbers, and none on the meta device."""

import pytest
import torch

from nasfuse.nn.embedding import new_embedding


@pytest.mark.parametrize("shape", [(5,), (1, 7, 64)])
def test_numbers_are_those_of_the_current_generator(shape):
    found = new_embedding(*shape)
    torch.manual_seed(0)
    assert torch.equal(found, torch.randn(shape) * 0.02)
    assert found.requires_grad


def test_the_meta_device_has_no_values():
    with torch.device("meta"):
        found = new_embedding(2, 3)
    assert found.is_meta
    assert found.shape == (2, 3)
