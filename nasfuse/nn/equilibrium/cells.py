"""The cells of DEQ fusion: one step towards the fixed point, as functions that solvers and gradients can use.

Deep equilibrium multimodal fusion (Ni et al., 2023): a residual block per modality, and a fusion block that purifies
what it has fused by a gate over the modalities. Two facts that the paper does not state make it cheap. A modality's
block reads neither the fused state nor another modality, so the fixed points of the modalities are found apart, before
that of the fusion. And W (z_i + z_f) = W z_i + W z_f: what the gate reads of the modalities is computed once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

Gate = Literal["linear", "sigmoid", "tanh"]

_SQUASH: dict[Gate, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}


#: Of the features in one group of a norm; two that are normalised together are little more than a sign.
_LEAST_IN_GROUP = 8


def n_groups(width: int) -> int:
    """Returns the groups of a norm: 4 as in the paper, fewer where they do not divide `width` or would be tiny."""
    return next((groups for groups in (4, 2) if width % groups == 0 and width // groups >= _LEAST_IN_GROUP), 1)


class Cell(nn.Module, ABC):
    """A map whose fixed point is wanted.

    Attributes:
        width: Features of the state.
        macs_per_step: Multiply-accumulates of `step` for one state.
        macs_once: Of `inputs`, once per solve and state.
        n_states: States of one sample; those of a batch lie end to end, all first states first.
    """

    width: int
    macs_per_step: int
    macs_once: int
    n_states: int = 1

    @abstractmethod
    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns all that `step` wants beside the state: what is computed once, and the parameters.

        Args:
            features: (b, d) of each modality that the cell reads.
            fused: (b, d), the injected x_f.
        """

    @abstractmethod
    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, width) for the states `rows` (k,), in ascending order; all of them where None."""


class ModalityCell(Cell):
    """z_i -> GN(ReLU(u + z_i)), u = GN(B_i h + b_i + x_i), h = ReLU(GN(A_i z_i + a_i)). 2 d^2 per step.

    All modalities are one batch, laid end to end, each with its own parameters: no state reads another one.
    """

    def __init__(self, n_modalities: int, width: int) -> None:
        """Builds the cell for `n_modalities` features of `width`."""
        super().__init__()
        self.width, self.macs_per_step, self.macs_once, self.n_states = width, 2 * width**2, 0, n_modalities
        self.blocks = nn.ModuleList(_Block(width) for _ in range(n_modalities))

    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns all features end to end (N b, d) and the parameters, see `Cell.inputs`."""
        blocks: list[_Block] = list(self.blocks)  # type: ignore[arg-type]
        return (torch.cat(list(features)), *(weight for block in blocks for weight in block.weights()))

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, d), see `Cell.step`; `rows` count through the modalities."""
        x, *weights = inputs
        size = len(weights) // self.n_states
        if rows is None:
            parts = zip(z.chunk(self.n_states), x.chunk(self.n_states), strict=True)
        else:
            ends = torch.arange(1, self.n_states + 1, device=rows.device) * (len(x) // self.n_states)
            ends = torch.searchsorted(rows, ends)
            counts = torch.diff(ends, prepend=ends.new_zeros(1)).tolist()
            parts = zip(torch.split(z, counts), torch.split(_at(x, rows), counts), strict=True)
        new = [
            _block(state, state, own, weights[size * number : size * (number + 1)])
            for number, (state, own) in enumerate(parts)
            if len(state)
        ]
        return torch.cat(new)


class FuseCell(Cell):
    """z_f -> GN(ReLU(F m + e + x_f)), m = sum_i z_f * gate(W (z_i + z_f) + c). 2 d^2 per step.

    The gate is linear, as in the paper, which makes the map quadratic, or squashed. A linear one takes one product
    with W for all modalities, computed once; a squashed one takes one for each.
    """

    def __init__(self, n_modalities: int, width: int, *, gate: Gate) -> None:
        """Builds the cell for `n_modalities` features of `width`."""
        super().__init__()
        self.width, self.macs_per_step = width, 2 * width**2
        self.macs_once = width**2 * (1 if gate == "linear" else n_modalities)
        self.n_modalities, self.gate = n_modalities, gate
        self.purify, self.combine = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.GroupNorm(n_groups(width), width)

    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns x_f, what the gate reads of the modalities, and the parameters, see `Cell.inputs`."""
        w, c = self.purify.weight, self.purify.bias
        if self.gate == "linear":
            read = F.linear(torch.stack(list(features)).sum(dim=0), w, self.n_modalities * c)
        else:
            read = torch.stack([F.linear(z, w, c) for z in features], dim=1)
        return (fused, read, w, self.combine.weight, self.combine.bias, self.norm.weight, self.norm.bias)

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, d), see `Cell.step`."""
        fused, read, w, *weights = inputs
        own, read = F.linear(z, w), _at(read, rows)
        if self.gate == "linear":
            gates = torch.add(read, own, alpha=self.n_modalities)
        else:
            gates = _SQUASH[self.gate](read + own[:, None]).sum(dim=1)
        return _combine(z * gates, _at(fused, rows), weights)


class CoupledCell(Cell):
    """All states in one, [z_1 .. z_N, z_f]: every modality's block reads the fused state, A (z_i + z_f) for A z_i.

    Not in the paper, whose modalities never hear of each other. The fusion block reads the new z_i of the same step.
    """

    def __init__(self, n_modalities: int, width: int, *, gate: Gate) -> None:
        """Builds the cell for `n_modalities` features of `width`; its state has N + 1 times as many."""
        super().__init__()
        self.n_modalities, self.features, self.gate = n_modalities, width, gate
        self.width = (n_modalities + 1) * width
        self.macs_per_step = (2 * n_modalities + (1 if gate == "linear" else n_modalities) + 1) * width**2
        self.macs_once = 0
        self.blocks = nn.ModuleList(_Block(width) for _ in range(n_modalities))
        self.purify, self.combine = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.GroupNorm(n_groups(width), width)

    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns the injected features and the parameters, see `Cell.inputs`."""
        blocks: list[_Block] = list(self.blocks)  # type: ignore[arg-type]
        own = [self.purify.weight, self.purify.bias, self.combine.weight, self.combine.bias]
        own += [self.norm.weight, self.norm.bias]
        return (*features, fused, *own, *(weight for block in blocks for weight in block.weights()))

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, (N + 1) d), see `Cell.step`."""
        n = self.n_modalities
        features, (fused, w, c), rest = inputs[:n], inputs[n : n + 3], inputs[n + 3 :]
        combine, blocks = rest[:4], rest[4:]
        *states, old = torch.split(z, self.features, dim=1)
        size = len(blocks) // n
        new = [
            _block(state, state + old, _at(x, rows), blocks[size * number : size * (number + 1)])
            for number, (state, x) in enumerate(zip(states, features, strict=True))
        ]
        if self.gate == "linear":
            gates = F.linear(torch.stack([*new]).sum(dim=0) + n * old, w, n * c)
        else:
            gates = _SQUASH[self.gate](F.linear(torch.stack(new) + old, w, c)).sum(dim=0)
        return torch.cat([*new, _combine(old * gates, _at(fused, rows), combine)], dim=1)


class _Block(nn.Module):
    """The parameters of a modality's residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.norms = nn.ModuleList(nn.GroupNorm(n_groups(width), width) for _ in range(3))

    def weights(self) -> tuple[Tensor, ...]:
        norms: list[nn.GroupNorm] = list(self.norms)  # type: ignore[arg-type]
        linear = (self.inner.weight, self.inner.bias, self.outer.weight, self.outer.bias)
        return (*linear, *(weight for norm in norms for weight in (norm.weight, norm.bias)))


def _block(z: Tensor, read: Tensor, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    a, a_bias, b, b_bias, *norms = weights
    h = _norm(F.linear(read, a, a_bias), norms[0], norms[1]).relu_()
    u = _norm(F.linear(h, b, b_bias).add_(x), norms[2], norms[3])
    return _norm((u + z).relu_(), norms[4], norms[5])


def _combine(purified: Tensor, fused: Tensor, weights: Sequence[Tensor]) -> Tensor:
    f, e, scale, shift = weights
    return _norm(F.linear(purified, f, e).add_(fused).relu_(), scale, shift)


def _norm(values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Returns the group norm of (b, d); as a layer norm of its groups it takes half the time on CPUs, and less."""
    groups = n_groups(values.shape[1])
    size = values.shape[1] // groups
    normalised = F.layer_norm(values.reshape(values.shape[0], groups, size), (size,))
    return torch.addcmul(shift, normalised.flatten(1), scale)


def _at(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]


class SpectralBound(nn.Module):
    """Parametrization that scales a matrix down where its spectral norm is above `bound`.

    The norm comes from one power iteration per training step (Miyato et al., 2018), whose vector is kept; it is
    estimated from below, so it may be a little above `bound`. However often a step asks for the weight, as activation
    checkpointing does again in the backward pass, it gets the same one: the next iteration waits until the optimiser
    has changed the matrix.
    """

    vector: Tensor
    #: Version of the matrix in the last iteration of training.
    _version_seen: int | None = None

    def __init__(self, weight: Tensor, bound: float) -> None:
        """Starts with fifteen iterations on `weight` (rows, columns)."""
        super().__init__()
        self.bound = bound
        self.register_buffer("vector", F.normalize(torch.randn(weight.shape[1]), dim=0))
        for _ in range(15):
            self._iterate(weight)

    @torch.no_grad()
    def _iterate(self, weight: Tensor) -> None:
        self.vector = F.normalize(weight.T @ (weight @ self.vector), dim=0)

    def forward(self, weight: Tensor) -> Tensor:
        """Returns the weight with a spectral norm of at most `bound`."""
        if self.training and weight._version != self._version_seen:
            self._version_seen = weight._version
            self._iterate(weight)
        norm = torch.linalg.vector_norm(weight @ self.vector)
        bounded: Tensor = weight * (self.bound / norm).clamp_max(1.0)
        return bounded


def bound_spectra(cells: nn.Module, bound: float) -> None:
    """Bounds the spectral norm of every linear layer of `cells`."""
    for module in cells.modules():
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", SpectralBound(module.weight, bound))
