"""Fixed-point solvers: how the next iterate is made. Stopping and gradients are modules of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule, norms

#: f(z, rows): the map on samples `rows` of the batch, on all of them where rows is None.
Map = Callable[[Tensor, Tensor | None], Tensor]


class Memory(ABC):
    """What a solver remembers of one solve."""

    @abstractmethod
    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        """Returns the next iterates, for f(z) and f(z) - z (b, d); the memory may keep or overwrite `change`."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Forgets all samples but `rows`."""


class Solver(ABC):
    """Makes a `Memory` for each solve; holds options only, so one solver may serve many threads and calls."""

    @abstractmethod
    def start(self, z: Tensor) -> Memory:
        """Returns a fresh memory for iterates like z (b, d)."""

    @abstractmethod
    def macs(self, step: int, width: int) -> int:
        """Returns the multiply-accumulates of the `step`-th `advance` (from 1) for one sample of `width`."""


@dataclass(frozen=True)
class Picard(Solver):
    """z <- z + damping (f(z) - z). Linear rate: that of the contraction."""

    damping: float = 1.0

    def __post_init__(self) -> None:
        """Checks the damping."""
        if not 0 < self.damping <= 1:
            raise ValueError(f"damping must be above 0 and at most 1, got {self.damping}; change it")

    def start(self, z: Tensor) -> Memory:
        """Returns a memory of nothing."""
        return _PicardMemory(self.damping)

    def macs(self, step: int, width: int) -> int:
        """Returns 0: a sum of two vectors."""
        return 0


class _PicardMemory(Memory):
    def __init__(self, damping: float) -> None:
        self.damping = damping

    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        return change.copy_(fz) if self.damping == 1 else torch.sub(fz, change, alpha=1 - self.damping, out=change)

    def keep(self, rows: Tensor) -> None:
        pass


@dataclass(frozen=True)
class Anderson(Solver):
    """Anderson acceleration, type II (Walker & Ni, 2011).

    The combination of the last `memory` iterates whose residual is least, weights adding to one. The Gram matrix is
    divided by the mean of its diagonal before `regularisation` is added: an absolute one, as in the released code
    of DEQ fusion and in torchdeq, turns mixing into plain averaging once residual^2 is below it.

    Attributes:
        memory: Iterates that are combined.
        regularisation: Relative to the squared residuals; at least ten times the rounding of their type.
        mixing: Share of f(z) against z in the combination.
    """

    memory: int = 5
    regularisation: float = 1e-8
    mixing: float = 1.0

    def __post_init__(self) -> None:
        """Checks memory and mixing."""
        if self.memory < 1 or not 0 < self.mixing <= 1:
            raise ValueError(
                f"memory must be at least 1 and mixing above 0 and at most 1, got {self.memory} and {self.mixing}"
            )

    def start(self, z: Tensor) -> Memory:
        """Returns an empty history."""
        return _AndersonMemory(self, z)

    def macs(self, step: int, width: int) -> int:
        """Returns the products of n residuals with the newest, the mixing, and an LU solve of n^3 / 3 + n^2."""
        n = min(step, self.memory)
        mixing = n * width * (1 if self.mixing == 1 else 2)
        return n * width + mixing + (lu_macs(n) if n > 1 else 0)


class _AndersonMemory(Memory):
    """Large tensors are written over rather than made anew: on a CPU, fresh pages cost more than the arithmetic."""

    def __init__(self, options: Anderson, z: Tensor) -> None:
        self.options = options
        self.images: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.gram = z.new_zeros(len(z), options.memory, options.memory)
        self.identity = torch.eye(options.memory, dtype=z.dtype, device=z.device)
        self.scratch = torch.empty_like(z)
        self.count = 0

    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        slot = self.count % self.options.memory
        self.count += 1
        _put(self.images, slot, fz)
        room = _put(self.changes, slot, change)
        n = len(self.changes)
        products = _products(self.changes, change, self.scratch)
        self.gram[:, :n, slot] = products
        self.gram[:, slot, :n] = products
        weights = torch.ones_like(products) if n == 1 else self._weights(n, slot)
        mixed = _combine(weights, self.images, out=room)
        if self.options.mixing < 1:
            mixed.sub_(_combine(weights, self.changes, out=self.scratch), alpha=1 - self.options.mixing)
        return mixed

    def _weights(self, n: int, slot: int) -> Tensor:
        gram = self.gram[:, :n, :n]
        scale = gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
        system = gram / scale.clamp_min(torch.finfo(gram.dtype).tiny)
        least = 10 * torch.finfo(gram.dtype).eps  # below it, one would be added to nothing
        system = system + max(self.options.regularisation, least) * self.identity[:n, :n]
        ones = system.new_ones(len(system), n)
        weights, _ = torch.linalg.solve_ex(system, ones)
        weights = weights / weights.sum(dim=1, keepdim=True)
        plain = self.identity[slot, :n]  # a Picard step where the system is singular
        return torch.where(torch.isfinite(weights.sum(dim=1, keepdim=True)), weights, plain)

    def keep(self, rows: Tensor) -> None:
        self.images, self.changes = [one[rows] for one in self.images], [one[rows] for one in self.changes]
        self.gram, self.scratch = self.gram[rows], self.scratch[: len(rows)]


def _put(history: list[Tensor], slot: int, value: Tensor) -> Tensor:
    """Puts `value` at `slot` of a ring, which grows until it is full; returns room for another tensor like it."""
    if slot == len(history):
        history.append(value)
        return torch.empty_like(value)
    room, history[slot] = history[slot], value
    return room


def _products(vectors: Sequence[Tensor], other: Tensor, scratch: Tensor) -> Tensor:
    """Returns (b, n): the inner products of each of n `vectors` (b, d) with `other`."""
    return torch.stack([torch.mul(vector, other, out=scratch).sum(dim=1) for vector in vectors], dim=1)


def _combine(weights: Tensor, vectors: Sequence[Tensor], *, out: Tensor) -> Tensor:
    """Returns `out` (b, d): the sum of `vectors`, each times its column of `weights` (b, n)."""
    torch.mul(vectors[0], weights[:, :1], out=out)
    for number, vector in enumerate(vectors[1:], start=1):
        out.addcmul_(vector, weights[:, number, None])
    return out


@dataclass(frozen=True)
class Broyden(Solver):
    """Broyden's good method on f(z) - z = 0, its inverse Jacobian as -I plus `memory` rank-one terms."""

    memory: int = 20

    def __post_init__(self) -> None:
        """Checks the memory."""
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}; raise it")

    def start(self, z: Tensor) -> Memory:
        """Returns an inverse Jacobian of -I, whose first step is Picard's."""
        return _BroydenMemory(self.memory, z)

    def macs(self, step: int, width: int) -> int:
        """Returns the products with the rank-one terms, of two vectors for the update and one for the step."""
        before, after = min(max(step - 2, 0), self.memory), min(step - 1, self.memory)
        return 2 * width * (2 * before + after) + (width if step > 1 else 0)


class _BroydenMemory(Memory):
    def __init__(self, memory: int, z: Tensor) -> None:
        self.memory = memory
        self.left: list[Tensor] = []
        self.right: list[Tensor] = []
        self.count = 0
        self.step: Tensor | None = None
        self.change: Tensor | None = None
        self.scratch = torch.empty_like(z)

    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        if self.step is not None and self.change is not None:
            self._update(self.step, change - self.change)
        self.step, self.change = -self._times(change, self.right, self.left), change
        return fz - change + self.step

    def _update(self, step: Tensor, difference: Tensor) -> None:
        right = self._times(step, self.left, self.right)
        scale = torch.mul(right, difference, out=self.scratch).sum(dim=1, keepdim=True)
        left = (step - self._times(difference, self.right, self.left)) / torch.where(scale != 0, scale, 1.0)
        good = torch.isfinite(left.sum(dim=1, keepdim=True)) & (scale != 0)
        slot = self.count % self.memory
        _put(self.left, slot, torch.where(good, left, 0.0))
        _put(self.right, slot, torch.where(good, right, 0.0))
        self.count += 1

    def _times(self, values: Tensor, inner: Sequence[Tensor], outer: Sequence[Tensor]) -> Tensor:
        """Returns (sum_k outer_k inner_k^T - I) applied to `values` (b, d)."""
        if not inner:
            return -values
        weights = _products(inner, values, self.scratch)
        return _combine(weights, outer, out=torch.empty_like(values)).sub_(values)

    def keep(self, rows: Tensor) -> None:
        self.left, self.right = [one[rows] for one in self.left], [one[rows] for one in self.right]
        self.scratch = self.scratch[: len(rows)]
        if self.step is not None and self.change is not None:
            self.step, self.change = self.step[rows], self.change[rows]


def lu_macs(n: int) -> int:
    """Returns the multiply-accumulates of solving one system of n equations: n^3 / 3 + n^2."""
    return n**3 // 3 + n**2


def solver_macs(solver: Solver, *, width: int, max_steps: int) -> list[int]:
    """Returns what a solver adds to k evaluations of the map, for k from 0 to `max_steps`, for one sample."""
    total = [0, 0]
    for step in range(1, max_steps):
        total.append(total[-1] + solver.macs(step, width))
    return total


@torch.no_grad()
def solve(function: Map, start: Tensor, *, solver: Solver, rule: StoppingRule, compact_from: float = 0.1) -> Solution:
    """Returns the fixed points of `function`, each sample solved until it is done.

    Args:
        function: The map; must treat every sample by itself.
        start: (b, d) first iterates.
        solver: Makes the steps.
        rule: Ends them.
        compact_from: Finished samples leave the batch once they are this share of it.
    """
    active = _Active.begin(start, rule)
    memory = solver.start(start)
    z, rows = start.clone(), None
    watch = _Watch()
    finished: list[_Active] = []
    for step in range(rule.max_steps):
        fz = watch.call(function, z, rows)
        change = torch.sub(fz, z, out=z)
        n_alive = active.judge(fz, change)
        if n_alive == 0 or step + 1 == rule.max_steps:
            break
        z = memory.advance(fz, change)
        if n_alive <= (1 - compact_from) * len(z):
            left = active.alive.nonzero()[:, 0]
            finished.append(active)
            active, z = active.keep(left), z[left]
            memory.keep(left)
            rows = active.numbers
    return _gather([*finished, active], start)


class _Watch:
    """Calls a map and sees to it that nobody writes over what it was given, or what it gave before."""

    def __init__(self) -> None:
        self.last: Tensor | None = None
        self.version = 0

    def call(self, function: Map, z: Tensor, rows: Tensor | None) -> Tensor:
        tracked = not z.is_inference()  # inference tensors do not know their version
        before = z._version if tracked else 0
        fz = function(z, rows)
        if tracked:
            if z._version != before:
                raise ValueError("the map writes over its argument; let it return a new tensor")
            if self.last is not None and self.last._version != self.version:
                raise ValueError("the map writes over what it returned before; let it return a new tensor")
            self.last = None if fz.is_inference() else fz
            self.version = fz._version if self.last is not None else 0
        return fz.clone() if fz.data_ptr() == z.data_ptr() else fz


@dataclass
class _Active:
    """The samples that are still being solved, and some that are done but have not left yet."""

    rule: StoppingRule
    numbers: Tensor
    alive: Tensor
    z: Tensor
    residual: Tensor
    best: Tensor
    n_steps: Tensor
    status: Tensor
    since_best: Tensor
    first_change: Tensor
    largest: Tensor
    trace: list[tuple[Tensor, Tensor]]

    @classmethod
    def begin(cls, start: Tensor, rule: StoppingRule) -> "_Active":
        n_samples, device = len(start), start.device
        infinite = torch.full((n_samples,), float("inf"), dtype=norms(start[:0]).dtype, device=device)
        zero = torch.zeros(n_samples, dtype=torch.int64, device=device)
        return cls(
            rule=rule,
            numbers=torch.arange(n_samples, device=device),
            alive=torch.ones(n_samples, dtype=torch.bool, device=device),
            z=start.clone(),
            residual=infinite,
            best=infinite,
            n_steps=zero,
            status=torch.full_like(zero, int(Status.OUT_OF_STEPS)),
            since_best=zero,
            first_change=infinite,
            largest=infinite,
            trace=[],
        )

    def judge(self, fz: Tensor, change: Tensor) -> int:
        """Books one evaluation, f(z) and f(z) - z, and returns how many samples are not done."""
        distance, size = norms(change), norms(fz)
        relative = distance / size.clamp_min(torch.finfo(size.dtype).tiny)
        if not self.trace:
            self.largest = (1 + size) * self.rule.bound
            halved = self.alive
        else:
            halved = distance <= self.first_change
        sound = (size <= self.largest) & (size < float("inf"))  # false for NaN, too
        good = self.alive & sound
        converged = good & (relative < self.rule.tolerance) & halved
        better = good & (relative < self.best)
        kept = better | converged
        if not self.trace:
            self.first_change = 0.5 * distance
        torch.where(kept[:, None], fz, self.z, out=self.z)
        self.residual = torch.where(kept, relative, self.residual)
        self.best = torch.where(better, relative, self.best)
        self.n_steps = self.n_steps + self.alive
        self.trace.append((self.numbers, torch.where(self.alive, relative, torch.nan)))
        ended = converged | (self.alive & ~sound)
        code = torch.where(sound, int(Status.CONVERGED), int(Status.DIVERGED))
        self.status = torch.where(ended, code, self.status)
        if self.rule.patience < self.rule.max_steps:
            self.since_best = torch.where(better, 0, self.since_best + 1)
            stalled = self.alive & ~ended & (self.since_best >= self.rule.patience)
            self.status = torch.where(stalled, int(Status.STALLED), self.status)
            ended = ended | stalled
        self.alive = self.alive & ~ended
        return int(self.alive.sum())

    def keep(self, left: Tensor) -> "_Active":
        """Returns the samples at the places `left`."""
        tensors = {name: value[left] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return _Active(rule=self.rule, trace=self.trace, **tensors)


def _gather(parts: Sequence[_Active], start: Tensor) -> Solution:
    """Returns the solution of the whole batch; a sample's last part holds its end."""
    first, *others = parts
    z, residual, n_steps, status = first.z, first.residual, first.n_steps, first.status
    if others:
        z, residual, n_steps, status = z.clone(), residual.clone(), n_steps.clone(), status.clone()
    for part in others:
        z[part.numbers], residual[part.numbers] = part.z, part.residual
        n_steps[part.numbers], status[part.numbers] = part.n_steps, part.status
    trace = residual.new_full((len(first.trace), len(start)), float("nan"))
    for step, (numbers, relative) in enumerate(first.trace):
        trace[step, numbers] = relative
    return Solution(z, n_steps, residual, status, trace)
