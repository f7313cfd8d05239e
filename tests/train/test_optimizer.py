"""The optimizer: what is decayed, and the steps of torch without its compiler."""

import subprocess
import sys

import torch
from torch import nn

from nasfuse.train.optimizer import AdamW, adamw


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


def trained(optimizer):
    """Parameters after steps with `optimizer`, which is restored from its state in between."""
    torch.manual_seed(0)
    layer = nn.Linear(7, 3)
    for _ in range(3):
        before = optimizer(layer.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(5):
            before.zero_grad(set_to_none=True)
            layer(torch.randn(9, 7)).square().sum().backward()
            before.step()
        after = optimizer(layer.parameters(), lr=0.5, weight_decay=0.1)
        after.load_state_dict(before.state_dict())
        layer(torch.randn(9, 7)).square().sum().backward()
        after.step()
    return list(layer.parameters())


def test_its_steps_are_those_of_torch():
    for own, of_torch in zip(trained(AdamW), trained(torch.optim.AdamW), strict=True):
        assert torch.equal(own, of_torch)


def test_it_does_not_import_the_compiler_of_torch():
    """In another process, as the compiler is imported here already; where torch has other methods, this says so."""
    code = (
        "import sys, torch\n"
        "from nasfuse.train.optimizer import adamw\n"
        "layer = torch.nn.Linear(2, 2)\n"
        "optimizer = adamw(layer, lr=0.1, weight_decay=0.1)\n"
        "layer(torch.ones(1, 2)).sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
