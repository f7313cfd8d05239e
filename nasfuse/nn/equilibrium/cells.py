"""Cells of DEQ fusion: the maps whose fixed points are solved for.

Deep equilibrium multimodal fusion (Ni et al., 2023) has a residual block per modality and a fusion block with a gate
over the modalities. Two properties that the paper does not state reduce the cost. The block of a modality depends
neither on the fused state nor on other modalities, so the fixed points of the modalities are solved separately and
before that of the fusion. And W (z_i + z_f) = W z_i + W z_f, so the term of the modalities is computed once per solve.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from nasfuse.nn.embedding import normal_numbers

Gate = Literal["linear", "sigmoid", "tanh"]

_SQUASH: dict[Gate, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}


#: Smallest number of features in a group of a norm; two features that are normalised together keep little but a sign.
_LEAST_IN_GROUP = 8


def n_groups(width: int) -> int:
    """Returns the number of groups of a norm: 4 as in the paper, fewer where 4 does not fit `width`."""
    return next((groups for groups in (4, 2) if width % groups == 0 and width // groups >= _LEAST_IN_GROUP), 1)


class Cell(ABC):
    """A map from a state to the next state; the output of a layer is its fixed point.

    Attributes:
        n_states: Number of states of a sample. The states of a batch are concatenated: the first states of all samples,
            then their second states, and so on.
    """

    n_states: int = 1

    @abstractmethod
    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, width) for the states `rows` (k,), which are ascending; None stands for all states."""


class FeatureCell(nn.Module, Cell):
    """A cell of DEQ fusion, on one vector of features per modality.

    Attributes:
        width: Number of features of a state.
        macs_per_step: Multiply-accumulates of `step` for one state.
        macs_once: Multiply-accumulates of `inputs` per state, computed once per solve.
    """

    width: int
    macs_per_step: int
    macs_once: int

    @abstractmethod
    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns the arguments of `step` other than the state: values computed once per solve, and parameters.

        Args:
            features: Features (b, d) of each modality that the cell uses.
            fused: Injected features x_f of the fusion, (b, d).
        """


class ModalityCell(FeatureCell):
    """z_i -> GN(ReLU(u + z_i)), u = GN(B_i h + b_i + x_i), h = ReLU(GN(A_i z_i + a_i)). 2 d^2 per step.

    The states of all modalities are concatenated to one batch. Each modality has its own parameters, and its states
    are independent of those of the others.
    """

    def __init__(self, n_modalities: int, width: int) -> None:
        """Builds the cell for `n_modalities` features of `width`."""
        super().__init__()
        self.width, self.macs_per_step, self.macs_once, self.n_states = width, 2 * width**2, 0, n_modalities
        self.blocks = nn.ModuleList(_Block(width) for _ in range(n_modalities))

    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns the concatenated features (N b, d) and the parameters; see `Cell.inputs`."""
        blocks: list[_Block] = list(self.blocks)  # type: ignore[arg-type]
        return (torch.cat(list(features)), *(weight for block in blocks for weight in block.weights()))

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, d); see `Cell.step`. `rows` are indices of the concatenated states."""
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


class FuseCell(FeatureCell):
    """z_f -> GN(ReLU(F m + e + x_f)), m = sum_i z_f * gate(W (z_i + z_f) + c). 2 d^2 per step.

    The gate is linear as in the paper, which makes the map quadratic, or squashed. A linear gate needs one product with
    W in total, a squashed one needs one product per modality.
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
        """Returns x_f, the terms of the modalities in the gate, and the parameters; see `Cell.inputs`."""
        w, c = self.purify.weight, self.purify.bias
        if self.gate == "linear":
            read = F.linear(torch.stack(list(features)).sum(dim=0), w, self.n_modalities * c)
        else:
            read = torch.stack([F.linear(z, w, c) for z in features], dim=1)
        return (fused, read, w, self.combine.weight, self.combine.bias, self.norm.weight, self.norm.bias)

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, d); see `Cell.step`."""
        fused, read, w, *weights = inputs
        own, read = F.linear(z, w), _at(read, rows)
        if self.gate == "linear":
            gates = torch.add(read, own, alpha=self.n_modalities)
        else:
            gates = _SQUASH[self.gate](read + own[:, None]).sum(dim=1)
        return _combine(z * gates, _at(fused, rows), weights)


class CoupledCell(FeatureCell):
    """One state [z_1 .. z_N, z_f]: the block of a modality also depends on the fused state, by A (z_i + z_f) for A z_i.

    Differs from the paper, in which the states of the modalities are independent. The fusion block uses the z_i that
    are computed in the same step.
    """

    def __init__(self, n_modalities: int, width: int, *, gate: Gate) -> None:
        """Builds the cell for `n_modalities` features of `width`; its state has (N + 1) `width` features."""
        super().__init__()
        self.n_modalities, self.features, self.gate = n_modalities, width, gate
        self.width = (n_modalities + 1) * width
        self.macs_per_step = (2 * n_modalities + (1 if gate == "linear" else n_modalities) + 1) * width**2
        self.macs_once = 0
        self.blocks = nn.ModuleList(_Block(width) for _ in range(n_modalities))
        self.purify, self.combine = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.GroupNorm(n_groups(width), width)

    def inputs(self, features: Sequence[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        """Returns the injected features and the parameters; see `Cell.inputs`."""
        blocks: list[_Block] = list(self.blocks)  # type: ignore[arg-type]
        own = [self.purify.weight, self.purify.bias, self.combine.weight, self.combine.bias]
        own += [self.norm.weight, self.norm.bias]
        return (*features, fused, *own, *(weight for block in blocks for weight in block.weights()))

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, (N + 1) d); see `Cell.step`."""
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
    """Parameters of the residual block of one modality."""

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
    """Returns the group norm of (b, d), computed as a layer norm of groups, which takes half the time on a CPU."""
    width = int(values.shape[1])  # a number under a tracer, too
    groups = n_groups(width)
    size = width // groups
    normalised = F.layer_norm(values.reshape(values.shape[0], groups, size), (size,))
    return torch.addcmul(shift, normalised.flatten(1), scale)


def _at(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]


class SpectralBound(nn.Module):
    """Parametrization that scales a matrix down if its spectral norm is above `bound`.

    The norm is estimated by one power iteration per training step from the vector of the step before (Miyato et al.,
    2018). The estimate is a lower bound, so the norm can be slightly above `bound`. A further iteration is made only
    after the optimiser has changed the matrix, so all uses of the weight in a step, including those that activation
    checkpointing repeats in the backward pass, get the same weight.
    """

    vector: Tensor
    #: Version counter of the matrix at the last power iteration.
    _version_seen: int | None = None

    def __init__(self, weight: Tensor, bound: float) -> None:
        """Makes fifteen power iterations on `weight` (rows, columns)."""
        super().__init__()
        self.bound = bound
        self.register_buffer("vector", normal_numbers(weight.shape[1]))
        if not weight.is_meta:  # where there are no values
            self.vector = F.normalize(self.vector, dim=0)
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
