"""Tokens mixed with those of other samples: values, padding, grid."""

import pytest
import torch

from nasfuse.nn.tokens import Tokens

ORDER = torch.tensor([2, 0, 1])
LENGTHS = torch.tensor([1, 4, 2])


@pytest.fixture
def padded():
    """Three samples of up to four tokens whose padding holds anything."""
    return Tokens(torch.randn(3, 4, 5), torch.arange(4) < LENGTHS[:, None])


def test_every_sample_is_mixed_with_its_partner():
    tokens = Tokens(torch.randn(3, 6, 5), None, (2, 3))
    mixed = tokens.mixed(0.3, ORDER)
    for sample, partner in enumerate(ORDER.tolist()):
        assert torch.allclose(mixed.values[sample], 0.3 * tokens.values[sample] + 0.7 * tokens.values[partner])
    assert mixed.mask is None
    assert mixed.grid == (2, 3)


def test_padding_counts_as_zeros_and_ends_with_the_longer_sample(padded):
    mixed = padded.mixed(0.3, ORDER)
    assert mixed.mask.sum(dim=1).tolist() == [2, 4, 4]
    assert torch.equal(mixed.masked(), mixed.values)
    assert torch.allclose(mixed.values[0, 0], 0.3 * padded.values[0, 0] + 0.7 * padded.values[2, 0])
    assert torch.allclose(mixed.values[0, 1], 0.7 * padded.values[2, 1])
    assert torch.allclose(mixed.values[1, 1:], 0.3 * padded.values[1, 1:])


def test_a_sample_mixed_with_itself_stays_as_it_is(padded):
    mixed = padded.mixed(0.3, torch.arange(3))
    assert torch.allclose(mixed.masked(), padded.masked())
    assert torch.equal(mixed.mask, padded.mask)


def test_a_weight_of_one_leaves_the_values(padded):
    assert torch.equal(padded.mixed(1.0, ORDER).values, padded.masked())
    assert torch.equal(padded.mixed(0.0, ORDER).values, padded.masked()[ORDER])


def test_the_tokens_given_are_left_alone(padded):
    values, mask = padded.values.clone(), padded.mask.clone()
    padded.mixed(0.5, ORDER)
    assert torch.equal(padded.values, values)
    assert torch.equal(padded.mask, mask)
