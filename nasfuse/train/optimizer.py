"""The optimizer of all trainings."""

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor, nn


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


def adamw(network: nn.Module, *, lr: float, weight_decay: float, stacks: Mapping[str, Tensor] | None = None) -> AdamW:
    """Returns AdamW with weight decay for matrices and kernels only, not for biases, norms, positions and tokens.

    Args:
        network: Network whose parameters are optimised.
        lr: Learning rate.
        weight_decay: Weight decay of matrices and kernels.
        stacks: What is optimised in place of the parameters, by their names: those of several networks like `network`,
            stacked.
    """
    own = dict(network.named_parameters())
    decayed = [name for name, p in own.items() if p.dim() >= 2 and name.endswith(".weight")]
    kept = [name for name in own if name not in set(decayed)]
    optimised = own if stacks is None else stacks
    groups = [
        {"params": [optimised[name] for name in decayed], "weight_decay": weight_decay},
        {"params": [optimised[name] for name in kept], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=lr, fused=True)
