"""The optimizer of all trainings."""

import inspect

import torch
from torch import nn


class AdamW(torch.optim.AdamW):
    """AdamW whose methods are not prepared for `torch.compile`, which nasfuse does not use.

    Its results are those of torch's. With the first optimizer of a process, the preparation imports torch's compiler,
    which takes about as long as the import of torch itself.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)


def adamw(network: nn.Module, *, lr: float, weight_decay: float) -> AdamW:
    """Returns AdamW with weight decay for matrices and kernels only, not for biases, norms, positions and tokens."""
    decayed = [p for name, p in network.named_parameters() if p.dim() >= 2 and name.endswith(".weight")]
    chosen = {id(p) for p in decayed}
    kept = [p for p in network.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return AdamW(groups, lr=lr, fused=True)
