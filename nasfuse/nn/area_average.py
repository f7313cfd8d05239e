"""Averages of a map over the areas of a grid of any size."""

import torch
from torch import Tensor
from torch.nn import functional as F


def area_average(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns (b, d, *size) for a map (b, d, h, w); values are repeated where `size` is larger. MACs: 0.

    An area reaches from floor(i h / h') to ceil((i + 1) h / h'), and so do its columns. In a graph for ONNX, which has
    no such pooling, the averages are products with constant matrices.
    """
    if not torch.onnx.is_in_onnx_export():
        return F.adaptive_avg_pool2d(x, size)
    height, width = (_matrix(int(before), after).to(x) for before, after in zip(x.shape[2:], size, strict=True))
    result: Tensor = height @ x @ width.T
    return result


def _matrix(before: int, after: int) -> Tensor:
    """Returns the (after, before) matrix of the averages along one side."""
    matrix = torch.zeros(after, before)
    for row in range(after):
        start, stop = row * before // after, -(-(row + 1) * before // after)
        matrix[row, start:stop] = 1 / (stop - start)
    return matrix
