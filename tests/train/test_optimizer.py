"""Weight decay is for matrices and kernels alone."""

import torch
from torch import nn

from nasfuse.train.optimizer import adamw


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.kernel, self.norm = nn.Linear(3, 2), nn.Conv1d(2, 2, 3), nn.LayerNorm(2)
        self.positions = nn.Parameter(torch.zeros(4, 2))


def test_biases_norms_and_positions_are_not_decayed():
    network = Small()
    decayed, kept = adamw(network, lr=0.1, weight_decay=0.05).param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.05, 0.0)
    assert decayed["lr"] == kept["lr"] == 0.1
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {named[id(one)] for one in decayed["params"]} == {"line.weight", "kernel.weight"}
    assert len(decayed["params"]) + len(kept["params"]) == len(named)
