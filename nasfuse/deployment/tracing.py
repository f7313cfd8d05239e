"""One ONNX graph of everything that a network computes, with its fixed points left open."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.data.extras import required
from nasfuse.deployment.precision import with_supported_types
from nasfuse.deployment.raw_inputs import RawInputs
from nasfuse.deployment.shapes import with_constant_shapes, without_single_parts
from nasfuse.deployment.stages import Layout
from nasfuse.nn.equilibrium import FixedPointLayer, equilibrium_layers
from nasfuse.nn.equilibrium.cells import Cell
from nasfuse.nn.network import Network

#: Version of the ONNX operators.
OPSET = 18

#: Batch sizes of the two passes that tell values of samples from weights: only the former change their shape.
_SIZES = (3, 5)

#: What is told of a solve: its layer, its cell, the arguments of the cell and the first iterates.
_Told = tuple[FixedPointLayer, Cell, tuple[Tensor, ...], Tensor]


@dataclass(frozen=True)
class Solve:
    """A fixed point in a traced network; its number is part of the names of tensors.

    Attributes:
        layer: Layer with the solver and the stopping rule.
        n_states: Number of states of a sample.
        per_sample: Which of the arguments of the cell are values of samples; the others are weights.
        n_rows_match: Whether there is one state, or `n_states`, per sample of the batch.
    """

    layer: FixedPointLayer
    n_states: int
    per_sample: tuple[int, ...]
    n_rows_match: bool


@dataclass(frozen=True)
class Traced:
    """The graph.

    Inputs are those of `RawInputs`, and for the solve number k its solution `solution.k`, and for the graph of a step
    the iterate `iterate.k` and the arguments `argument.k.i`. Outputs are those of the layout, and the first iterates
    `start.k`, the arguments `computed.k.i` and the image `image.k` of the iterate. These are float64, as in evaluation
    mode (`FixedPointLayer.solve`).

    Attributes:
        model: `onnx.ModelProto`.
        solves: Fixed points in the order in which they are solved.
        shared: Names of outputs that later stages may read.
    """

    model: Any
    solves: tuple[Solve, ...]
    shared: frozenset[str]


def trace(network: Network, inputs: RawInputs, layout: Layout) -> Traced:
    """Returns the graph of a network in evaluation mode.

    Raises:
        MissingPackageError: The package onnx is not installed.
    """
    onnx = required("onnx", extra="onnx", purpose="exports of networks")
    required("onnxscript", extra="onnx", purpose="exports of networks")
    whole = _Whole(network, inputs, layout).eval()
    with torch.no_grad(), _solved_by(network, whole):
        passes = [whole.look(inputs.examples(size)) for size in _SIZES]
        solves = tuple(_solve(one, other) for one, other in zip(*passes, strict=True))
        examples, others = (
            {**inputs.examples(size), **_of_solves(told, solves)} for size, told in zip(_SIZES, passes, strict=True)
        )
        whole.prepare(solves, tuple(examples))
        results = whole(*examples.values())
        assert len(results) == len(whole.output_names)
        file = io.BytesIO()
        with _quiet(), _sorting():
            torch.onnx.export(
                whole,
                tuple(examples.values()),
                file,  # type: ignore[arg-type]  # this exporter takes a buffer
                dynamo=False,
                opset_version=OPSET,
                input_names=list(examples),
                output_names=whole.output_names,
                dynamic_axes={name: {0: f"rows of {name}"} for name in examples},
            )
    model = with_supported_types(onnx.load_from_string(file.getvalue()))
    arrays = [{name: one.numpy() for name, one in tensors.items()} for tensors in (examples, others)]
    with_constant_shapes(model, arrays)
    without_single_parts(model)
    stage_results = {name for stage in layout.stages for name in stage.results}
    shared = {name for name in whole.output_names if name.startswith("state.") or name in stage_results}
    return Traced(model, solves, frozenset(shared))


class _Whole(nn.Module):
    """All results of a network as a flat tuple, with the fixed points given as inputs."""

    def __init__(self, network: Network, inputs: RawInputs, layout: Layout) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs
        self.layout = layout
        self.told: list[_Told] = []
        self.solves: tuple[Solve, ...] = ()
        self.input_names: tuple[str, ...] = ()
        self.output_names: list[str] = []
        self.given: dict[str, Tensor] | None = None
        self.found: dict[str, Tensor] = {}

    def look(self, tensors: dict[str, Tensor]) -> list[_Told]:
        """Returns what is told of the solves of a pass in which the first iterates stand for the solutions."""
        self.told, self.given = [], None
        self.layout.compute(*self.inputs(tensors))
        return self.told

    def prepare(self, solves: tuple[Solve, ...], input_names: tuple[str, ...]) -> None:
        self.solves, self.input_names = solves, input_names

    def solve(self, layer: FixedPointLayer, cell: Cell, arguments: tuple[Tensor, ...], start: Tensor) -> Tensor:
        """Returns the solution of a fixed point: the input of that name."""
        number, dtype = len(self.told), start.dtype
        start = start.double()
        arguments = tuple(one.double() for one in arguments)
        self.told.append((layer, cell, arguments, start))
        if self.given is None:
            return start.to(dtype)
        per_sample = self.solves[number].per_sample
        self.found[f"start.{number}"] = start
        self.found |= {f"computed.{number}.{i}": arguments[i] for i in per_sample}
        given = [self.given[f"argument.{number}.{i}"] if i in per_sample else one for i, one in enumerate(arguments)]
        self.found[f"image.{number}"] = cell.step(self.given[f"iterate.{number}"], None, *given)
        return self.given[f"solution.{number}"].to(dtype)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        self.given = dict(zip(self.input_names, tensors, strict=True))
        self.told, self.found = [], {}
        results = self.layout.compute(*self.inputs(self.given))
        results |= self.found
        self.output_names = list(results)
        return tuple(results.values())


def _solve(one: _Told, other: _Told) -> Solve:
    layer, cell, arguments, _ = one
    changed = [i for i, pair in enumerate(zip(arguments, other[2], strict=True)) if pair[0].shape != pair[1].shape]
    rows = [len(told[3]) == cell.n_states * size for told, size in zip((one, other), _SIZES, strict=True)]
    return Solve(layer, cell.n_states, tuple(changed), all(rows))


def _of_solves(told: Sequence[_Told], solves: Sequence[Solve]) -> dict[str, Tensor]:
    """Returns the inputs of a trace that stand for solutions, iterates and arguments of solves."""
    found: dict[str, Tensor] = {}
    for number, (_, _, arguments, start) in enumerate(told):
        found |= {f"solution.{number}": start, f"iterate.{number}": start}
        found |= {f"argument.{number}.{i}": arguments[i] for i in solves[number].per_sample}
    return found


@contextmanager
def _solved_by(network: Network, whole: _Whole) -> Iterator[None]:
    """Lets the fixed points of `network` be solved by `whole` inside the block."""
    layers = equilibrium_layers(network)

    def solver(layer: FixedPointLayer) -> Callable[[Cell, tuple[Tensor, ...], Tensor], Tensor]:
        return lambda cell, arguments, start: whole.solve(layer, cell, arguments, start)

    try:
        for layer in layers:
            layer.solved_outside = solver(layer)
        yield
    finally:
        for layer in layers:
            layer.solved_outside = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides that this exporter is deprecated, and each number that a trace takes for a constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _sorting() -> Iterator[None]:
    """Translates stable sorting inside the block, which the exporter does not know.

    TopK is stable: of equal elements, the one with the lower index comes first.
    """
    from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

    register_custom_op_symbolic("aten::argsort", _argsort, OPSET)
    try:
        yield
    finally:
        unregister_custom_op_symbolic("aten::argsort", OPSET)


def _argsort(graph: Any, values: Any, *arguments: Any) -> Any:
    """Returns the nodes of `argsort`, with the arguments dim, descending or stable, dim, descending."""
    from torch.onnx import symbolic_helper

    dim, descending = [_constant(symbolic_helper, one) for one in arguments[-2:]]
    shape = graph.op("Shape", values)
    size = graph.op("Gather", shape, graph.op("Constant", value_t=torch.tensor([dim])), axis_i=0)
    numbers = graph.op("Cast", values, to_i=1) if values.type().scalarType() == "Bool" else values
    _, order = graph.op("TopK", numbers, size, axis_i=dim, largest_i=int(descending), outputs=2)
    return order


def _constant(helper: Any, value: Any) -> int:
    return int(helper._maybe_get_const(value, "i"))
