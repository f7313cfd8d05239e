"""Averages over areas: those of torch, and the same as products for graphs."""

import pytest
import torch
from torch.nn import functional as F

from nasfuse.nn.area_average import area_average


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (3, 2), (7, 4), (9, 8)])
def test_products_in_a_graph_are_the_averages(monkeypatch, size):
    x = torch.randn(2, 3, 7, 4)
    expected = F.adaptive_avg_pool2d(x, size)
    assert torch.equal(area_average(x, size), expected)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert torch.allclose(area_average(x, size), expected, atol=1e-6)
