"""MACs of a forward pass, counted with fvcore; used to verify the closed forms."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasfuse.data.dataset import Batch
from nasfuse.errors import UncountedOperatorError
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.tracing import one_path_wanted


class _PlainInputs(nn.Module):
    """Wrapper with positional tensors, as tracing requires, around a network that takes mappings."""

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
        assert isinstance(self.network, RoutedNetwork), "only these have routes"
        # All that the choice needs is returned beside the logits, so that the tracer keeps its computation.
        return self.network.run_route(self.route, inputs, masks)


def count_network(network: nn.Module, batch: Batch, *, route: int | None = None) -> int:
    """Returns the multiply-accumulates that `network` executes per sample of `batch`, including padding.

    Args:
        network: Network to trace.
        batch: Batch of at least one sample.
        route: Number of the route of all samples, for a routed network.

    Raises:
        UncountedOperatorError: The network uses an operator without a MACs formula.
    """
    names, mask_names = tuple(batch.inputs), tuple(batch.masks)
    tensors = (*batch.inputs.values(), *batch.masks.values())
    total = sum(count_operators(_PlainInputs(network, names, mask_names, route), tensors).values())
    n_samples = len(tensors[0])
    assert total % n_samples == 0, "a batch costs a whole number of samples"
    return total // n_samples


def count_operators(module: nn.Module, inputs: tuple[Tensor, ...]) -> Mapping[str, int]:
    """Returns the multiply-accumulates by operator for one call of `module`, in its current mode (train or eval).

    Uses fvcore with the handles of `nasfuse.cost.operators`. The fused inference path of attention is disabled while
    counting, because it is a single operator without visible products.

    Args:
        module: Module, which is traced once.
        inputs: Positional arguments of the module.

    Raises:
        UncountedOperatorError: An operator has neither a MACs formula nor an entry among the operators without
            products.
    """
    from nasfuse.cost.operators import FREE  # imports fvcore, which is slow, and used only where something is counted

    # The tracer copies the Python call stack for every operator, and that of a new thread is short.
    with ThreadPoolExecutor(max_workers=1) as pool:
        counts, unsupported = pool.submit(_trace, module, inputs).result()
    if unknown := sorted(unsupported - FREE):
        raise UncountedOperatorError(
            f"no MACs are known for the operators {', '.join(unknown)}, so a count would be too low; "
            "add a handle (or a free operator) in nasfuse/cost/operators.py"
        )
    return counts


def _trace(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[dict[str, int], set[str]]:
    """Returns the multiply-accumulates by operator, and the operators for which fvcore has no handle."""
    from fvcore.nn import FlopCountAnalysis

    from nasfuse.cost.operators import HANDLES

    with _decomposed_attention(), one_path_wanted(), torch.no_grad():
        analysis = FlopCountAnalysis(module, inputs).set_op_handle(**HANDLES)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        counts = {name: int(value) for name, value in analysis.by_operator().items()}
        return counts, set(analysis.unsupported_ops())


@contextmanager
def _decomposed_attention() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
