"""Activation memory: the tensors that a training step keeps for its backward pass."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from nasfuse.data.dataset import Batch
from nasfuse.nn.auxiliary_loss import take_losses
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork


def activation_bytes(network: Network, batch: Batch) -> float:
    """Returns the bytes per sample that a forward pass in training mode saves for the backward pass.

    Counts the storages of all tensors that autograd saves, each once, without parameters. On CUDA the result is the
    peak of allocated memory, less the memory allocated before. The states of torch's generators are restored.
    """
    was_training = network.training
    device = next(iter(batch.inputs.values())).device
    on_cuda = device.type == "cuda"
    network.train()
    try:
        with torch.random.fork_rng(devices=[device] if on_cuda else []):
            if on_cuda:
                total = _cuda_bytes(network, batch, device)
            else:
                total = saved_bytes(network, lambda: _training_pass(network, batch))
    finally:
        network.train(was_training)
        take_losses(network)  # discards them and their graph
    return total / len(batch.targets)


def saved_bytes(module: nn.Module, call: Callable[[], object], *, apart: Iterable[Tensor] = ()) -> int:
    """Returns the bytes that `call` saves for the backward pass: every storage once, without parameters of `module`.

    Args:
        module: Module whose parameters are not counted.
        call: Forward pass of `module`, run in the current mode of the module with gradients enabled.
        apart: Other tensors that are not counted, such as the inputs.
    """
    there_anyway = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *apart)}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in there_anyway:
            saved[pointer] = tensor  # kept alive, so that no address is used twice
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _training_pass(network: Network, batch: Batch) -> None:
    if isinstance(network, RoutedNetwork):  # trained on all routes
        network.all_routes(batch.inputs, batch.masks, present=batch.present)
    else:
        network(batch.inputs, batch.masks, present=batch.present)


def _cuda_bytes(network: Network, batch: Batch, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with torch.enable_grad():
        _training_pass(network, batch)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
