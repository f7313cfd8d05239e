"""Counting the MACs of a real forward pass with fvcore: the witness for the closed forms."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasfuse.cost.operators import FREE, HANDLES
from nasfuse.data.dataset import Batch
from nasfuse.errors import UncountedOperatorError
from nasfuse.nn.tracing import one_path_wanted


class _PlainInputs(nn.Module):
    """Takes tensors one by one, which is what tracing wants, and calls the network with its mappings."""

    def __init__(
        self, network: nn.Module, names: tuple[str, ...], mask_names: tuple[str, ...], route: int | None
    ) -> None:
        super().__init__()
        self.network = network
        self.route = route
        self.names = names
        self.mask_names = mask_names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(self.names, tensors, strict=False))
        masks = dict(zip(self.mask_names, tensors[len(self.names) :], strict=True))
        if self.route is None:
            return (self.network(inputs, masks),)
        # The router's choice is overruled; returned, its logits are not taken for dead code by the tracer.
        gates: list[Tensor] = []
        hook = self.network.get_submodule("router").register_forward_hook(
            lambda _module, _inputs, gate: gates.append(gate)
        )
        logits: Tensor = self.network(inputs, masks, self.route)
        hook.remove()
        return (logits, *gates)


def count_network(network: nn.Module, batch: Batch, *, route: int | None = None) -> int:
    """Returns the multiply-accumulates that `network` executes for one sample of `batch`, padding included.

    Args:
        network: To be traced.
        batch: At least one sample.
        route: Of a routed network, the route that every sample takes.

    Raises:
        UncountedOperatorError: The network uses an operator whose MACs are not known.
    """
    names, mask_names = tuple(batch.inputs), tuple(batch.masks)
    tensors = (*batch.inputs.values(), *batch.masks.values())
    total = sum(count_operators(_PlainInputs(network, names, mask_names, route), tensors).values())
    n_samples = len(tensors[0])
    assert total % n_samples == 0, "a batch costs a whole number of samples"
    return total // n_samples


def count_operators(module: nn.Module, inputs: tuple[Tensor, ...]) -> Mapping[str, int]:
    """Returns multiply-accumulates by operator for one call of `module`, in the mode it is in.

    fvcore with the handles of `nasfuse.cost.operators`. Attention's fused inference path is switched off
    while counting, since it hides its products inside one operator.

    Args:
        module: Any module; it is traced once.
        inputs: Its positional arguments.

    Raises:
        UncountedOperatorError: An operator is neither counted nor known to be free of products.
    """
    from fvcore.nn import FlopCountAnalysis  # slow to import, and used only where something is counted

    with _decomposed_attention(), one_path_wanted(), torch.no_grad():
        analysis = FlopCountAnalysis(module, inputs).set_op_handle(**HANDLES)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        counts = {name: int(value) for name, value in analysis.by_operator().items()}
        unknown = sorted(name for name in analysis.unsupported_ops() if name not in FREE)
    if unknown:
        raise UncountedOperatorError(
            f"no MACs are known for the operators {', '.join(unknown)}, so a count would be too low; "
            "add a handle (or a free operator) in nasfuse/cost/operators.py"
        )
    return counts


@contextmanager
def _decomposed_attention() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
