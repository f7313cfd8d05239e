"""When a bundle is accepted as its network."""

import pytest
import torch

from nasfuse.errors import DeploymentError
from nasfuse.export.parity import Parity


def parity(*, difference=0.0, n_borderline=0, n_samples=500):
    return Parity(n_samples, n_borderline, difference, 1e-4, torch.zeros(1), torch.zeros(1))


def test_rounding_is_accepted():
    parity(difference=1e-4).check()
    parity(n_borderline=5).check()
    parity(n_borderline=1, n_samples=20).check()


@pytest.mark.parametrize("found", [{"difference": 2e-4}, {"n_borderline": 6}, {"difference": float("inf")}])
def test_more_is_refused(found):
    with pytest.raises(DeploymentError, match=r"the bundle differs from the network: .* it was not written"):
        parity(**found).check()
