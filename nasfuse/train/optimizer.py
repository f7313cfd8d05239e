"""The optimizer of all trainings."""

import torch
from torch import nn


def adamw(network: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Returns AdamW with weight decay for matrices and kernels only, not for biases, norms, positions and tokens."""
    decayed = [p for name, p in network.named_parameters() if p.dim() >= 2 and name.endswith(".weight")]
    chosen = {id(p) for p in decayed}
    kept = [p for p in network.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, fused=True)
