"""Networks of the same shapes as one: their weights stacked, one pass and one step for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from nasfuse.data.dataset import Batch
from nasfuse.nn.dot_product import stacked_networks
from nasfuse.nn.network import StreamNetwork
from nasfuse.train.optimizer import adamw
from nasfuse.train.stream_loss import StreamLoss


class NetworkStack:
    """The weights of several networks, stacked, which the networks share while they are trained.

    Attributes:
        optimizer: AdamW of all weights, with one learning rate and one weight decay.
    """

    def __init__(
        self, networks: Sequence[StreamNetwork], stream_losses: Sequence[StreamLoss], *, lr: float, weight_decay: float
    ) -> None:
        """Replaces the weights of networks by parts of their stacks, so that a step of the stack changes them.

        Args:
            networks: Networks with the same shapes.
            stream_losses: Losses of the streams of each.
            lr: Learning rate.
            weight_decay: Weight decay of matrices and kernels.
        """
        self._members = [_Passes(*pair) for pair in zip(networks, stream_losses, strict=True)]
        self._template = self._members[0]
        self._weights = {
            name: torch.stack([member.get_parameter(name).detach() for member in self._members]).requires_grad_()
            for name, _ in self._template.named_parameters()
        }
        self._buffers = {
            name: torch.stack([member.get_buffer(name) for member in self._members])
            for name, _ in self._template.named_buffers()
        }
        self._places = _places(self._template)
        for number, member in enumerate(self._members):
            for name, stack in self._weights.items():
                member.get_parameter(name).data = stack.detach()[number]
        self.optimizer = adamw(self._template, lr=lr, weight_decay=weight_decay, stacks=self._weights)

    def train(self) -> None:
        """Sets the networks to training mode."""
        for member in self._members:
            member.train()

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Runs the networks in inference mode, without gradients, inside the block."""
        for member in self._members:
            member.eval()
        with torch.no_grad():
            yield

    def run(self, batches: Sequence[Batch]) -> tuple[Tensor, list[Tensor]]:
        """Returns the outputs (k, b, ...) of k networks for a batch each, and those of each of their streams.

        Smaller batches are filled up, so that only the first outputs of a network are those of its samples. The streams
        have outputs in training, if there is a loss of streams. Random numbers in the networks come from torch's
        current generator.
        """
        inputs, masks, present = joined(batches)

        def run_one(
            values: dict[str, Tensor], inputs: object, masks: object, present: object
        ) -> tuple[Tensor, list[Tensor]]:
            with self._having(values):
                found: tuple[Tensor, list[Tensor]] = self._template(inputs, masks, present)
            return found

        with stacked_networks():
            outputs: tuple[Tensor, list[Tensor]] = vmap(run_one, randomness="different")(
                {**self._weights, **self._buffers}, inputs, masks, present
            )
        return outputs

    @contextmanager
    def _having(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Gives the first network other weights and buffers inside the block.

        As `torch.func.functional_call` does, which takes as long for it as a small network for a pass.
        """
        own = [place[name] for place, name in self._places.values()]
        try:
            for key, (place, name) in self._places.items():
                place[name] = values[key]
            yield
        finally:
            for (place, name), value in zip(self._places.values(), own, strict=True):
                place[name] = value

    def step(self, losses: Tensor, *, lr: float, clip_norm: float) -> None:
        """Changes all weights by a step of AdamW.

        Args:
            losses: (k,) loss of each network.
            lr: Learning rate.
            clip_norm: Largest norm of the gradient of a network; a larger gradient is scaled down to it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        clip_norms_([stack.grad for stack in self._weights.values() if stack.grad is not None], clip_norm)
        self.optimizer.step()

    def release(self) -> None:
        """Gives every network weights of its own again."""
        for member in self._members:
            for parameter in member.parameters():
                parameter.data = parameter.data.clone()


class _Passes(nn.Module):
    """The passes of a network, in training with the outputs of its streams."""

    def __init__(self, network: StreamNetwork, stream_loss: StreamLoss) -> None:
        super().__init__()
        self.network = network
        self.stream_loss = stream_loss

    def forward(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        if not self.training:
            return self.network(inputs, masks, present=present), []
        with self.stream_loss.listening():
            outputs = self.network(inputs, masks, present=present)
        return outputs, self.stream_loss.take_outputs()


def _places(module: nn.Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Returns where a module and its parts keep each weight and buffer, by its name in the module: mapping and key."""
    found = {}
    for path, part in module.named_modules():
        for place in (part._parameters, part._buffers):
            for name, value in place.items():
                if value is not None:
                    found[f"{path}.{name}" if path else name] = (place, name)
    return found


def clip_norms_(gradients: Sequence[Tensor], most: float) -> None:
    """Scales the gradients of each of k networks so that their common norm is at most `most`.

    The same as `torch.nn.utils.clip_grad_norm_` for every network.

    Args:
        gradients: Gradients (k, ...) of all weights.
        most: Largest norm.
    """
    each = torch.stack([torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1) for gradient in gradients])
    factors = (most / (torch.linalg.vector_norm(each, dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))


def joined(batches: Sequence[Batch]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Returns inputs (k, b, ...), masks (k, b, T) and presence (k, b) of k batches; smaller batches are filled up.

    Rows are filled up with copies of the first sample, and sequences with padding.
    """
    inputs = {name: _filled([batch.inputs[name] for batch in batches]) for name in batches[0].inputs}
    with_mask = {name for batch in batches for name in batch.masks}
    masks = {}
    for name in with_mask:
        own = [batch.masks.get(name, _all_true(batch.inputs[name], 2)) for batch in batches]
        masks[name] = _filled(own)
    absent = {name for batch in batches for name in batch.present}
    present = {
        name: _filled([batch.present.get(name, _all_true(batch.inputs[name], 1)) for batch in batches])
        for name in absent
    }
    return inputs, masks, present


def _all_true(inputs: Tensor, n_axes: int) -> Tensor:
    return torch.ones(inputs.shape[:n_axes], dtype=torch.bool, device=inputs.device)


def _filled(parts: Sequence[Tensor]) -> Tensor:
    shapes = {part.shape for part in parts}
    if len(shapes) == 1:
        return torch.stack(list(parts))
    n_rows = max(shape[0] for shape in shapes)
    n_steps = max(shape[1] for shape in shapes) if len(parts[0].shape) > 1 else 0
    filled = parts[0].new_zeros((len(parts), n_rows, *([n_steps] if n_steps else []), *parts[0].shape[2:]))
    for own, part in zip(filled, parts, strict=True):
        place = own[:, : part.shape[1]] if n_steps else own
        place[: len(part)] = part
        place[len(part) :] = part[:1]
    return filled
