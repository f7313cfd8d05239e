"""Runs the graphs of a bundle: the stages of a network, its router and its fixed points."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.runtime.solver import solve
from nasfuse.runtime.tasks import confidence, confidence_of_one

Array = NDArray[Any]
Tensors = dict[str, Array]

_GATE, _OUTPUT = "gate", "output.{}"
#: Axes of outputs that are vectors; maps have more.
_N_AXES_OF_VECTORS = 2


@dataclass
class Outputs:
    """Outputs of a batch.

    Attributes:
        values: (b, n_outputs) float32: logits, or standardised numbers of a regression; maps (b, n_outputs, H, W).
        routes: (b,) number of the route of each sample; None for a static network.
        n_steps: (b,) solver steps of each sample: the sum over its fixed points, and for states that are solved side
            by side the largest number; None without a solver, or if samples have fixed points of several tokens.
    """

    values: Array
    routes: NDArray[np.int64] | None
    n_steps: NDArray[np.int64] | None


class Program:
    """The stages of a network, of which each sample runs those that it needs."""

    def __init__(self, plain: Mapping[str, Any], open_graph: Callable[[str], Any], *, task: str) -> None:
        """Opens the graphs.

        Args:
            plain: Entry `program` of the manifest.
            open_graph: Returns the `onnxruntime.InferenceSession` of a file.
            task: Kind of task, which defines the confidence of outputs.
        """
        self.task = task
        self.router = plain["router"]
        self.stages = [_Stage(stage, open_graph) for stage in plain["stages"]]
        if self.router is not None and self.router["kind"] == "gate":
            costs = self.router["price"] * np.asarray(self.router["relative_costs"])
            self._scale, self._shift = np.asarray(self.router["scale"]), np.asarray(self.router["offset"]) - costs
        self.input_names = frozenset(name for stage in self.stages for name in stage.reads)
        solves = [piece.solve for stage in self.stages for piece in stage.pieces if piece.solve]
        self._counts = bool(solves) and all(one["counts_samples"] for one in solves)

    def run(self, inputs: Tensors, chosen: Array | None = None) -> Outputs:
        """Returns the outputs of a batch.

        Args:
            inputs: Arrays by name, with the samples as their first axis.
            chosen: (b,) routes of the samples, instead of the choice of the router.
        """
        n_samples = len(next(iter(inputs.values())))
        batch = _Batch(n_samples, self._counts)
        if self.router is None:
            found = self.stages[0].run(inputs, batch, None)
            return Outputs(found[_OUTPUT.format(0)], None, batch.n_steps)
        if self.router["kind"] == "gate":
            values, routes = self._gated(inputs, batch, chosen)
        else:
            values, routes = self._sequential(inputs, batch, chosen)
        return Outputs(values, routes, batch.n_steps)

    def _gated(self, inputs: Tensors, batch: "_Batch", chosen: Array | None) -> tuple[Array, NDArray[np.int64]]:
        router = self.router
        known = {**inputs, **self.stages[0].run(inputs, batch, None)}
        if batch.n_samples == 1:
            number = int(chosen[0]) if chosen is not None else self._choice_of_one(known[_GATE])
            name, stage = _OUTPUT.format(number), router["stage_of_route"][number]
            own = known[name] if stage == 0 else self.stages[stage].run(known, batch, None)[name]
            return own, np.array([number])
        routes = self._choice(known) if chosen is None else np.asarray(chosen, np.int64)
        values: Array | None = None
        for number in np.unique(routes):
            name, stage = _OUTPUT.format(number), router["stage_of_route"][number]
            rows = np.flatnonzero(routes == number)
            if len(rows) == len(routes):
                own = known[name] if stage == 0 else self.stages[stage].run(known, batch, None)[name]
                return own, routes
            if stage == 0:
                own = known[name][rows]
            else:
                own = self.stages[stage].run(self.stages[stage].part(known, rows), batch, rows)[name]
            values = np.empty((len(routes), *own.shape[1:]), own.dtype) if values is None else values
            values[rows] = own
        assert values is not None, "a batch has at least one sample"
        return values, routes

    def _choice(self, known: Tensors) -> NDArray[np.int64]:
        """Returns the routes (b,) that the router chooses."""
        return np.asarray((known[_GATE].astype(np.float64) * self._scale + self._shift).argmax(axis=1))

    def _choice_of_one(self, gate: Array) -> int:
        """Returns the choice for one sample in plain numbers, since a call of numpy takes as long as a layer."""
        terms = zip(gate[0].tolist(), self._scale.tolist(), self._shift.tolist(), strict=True)
        logits = [value * scale + shift for value, scale, shift in terms]
        return logits.index(max(logits))

    def _sequential_of_one(
        self, inputs: Tensors, batch: "_Batch", chosen: Array | None
    ) -> tuple[Array, NDArray[np.int64]]:
        known, last = inputs, len(self.stages) - 1
        temperatures, levels = self.router["temperatures"], self.router["levels"]
        for number, stage in enumerate(self.stages):
            new = stage.run(known, batch, None)
            own = new[_OUTPUT.format(number)]
            if number == last:
                break
            if chosen is not None:
                stops = chosen[0] <= number
            elif own.ndim > _N_AXES_OF_VECTORS:
                stops = bool(confidence(self.task, own.astype(np.float64) / temperatures[number])[0] >= levels[number])
            else:
                logits = [value / temperatures[number] for value in own[0].tolist()]
                stops = confidence_of_one(self.task, logits) >= levels[number]
            if stops:
                break
            known = {**known, **new}
        return own, np.array([number])

    def _sequential(self, inputs: Tensors, batch: "_Batch", chosen: Array | None) -> tuple[Array, NDArray[np.int64]]:
        n_samples, last = batch.n_samples, len(self.stages) - 1
        if n_samples == 1:
            return self._sequential_of_one(inputs, batch, chosen)
        known, rows = inputs, np.arange(n_samples)
        values: Array | None = None
        routes = np.full(n_samples, last)
        for number, stage in enumerate(self.stages):
            new = stage.run(known, batch, None if len(rows) == n_samples else rows)
            own = new[_OUTPUT.format(number)]
            if number == last:
                stops = np.ones(len(rows), bool)
            elif chosen is None:
                sure = confidence(self.task, own.astype(np.float64) / self.router["temperatures"][number])
                stops = sure >= self.router["levels"][number]
            else:
                stops = chosen[rows] <= number
            if values is None:
                if stops.all():
                    return own, np.full(n_samples, number)
                values = np.empty((n_samples, *own.shape[1:]), own.dtype)
            values[rows[stops]] = own[stops]
            routes[rows[stops]] = number
            if stops.all():
                break
            known = {**known, **new}
            if stops.any():
                left = np.flatnonzero(~stops)
                known, rows = _rows_of(known, left), rows[left]
        assert values is not None, "there is a route"
        return values, routes


class _Batch:
    """Solver steps of the samples of a batch."""

    def __init__(self, n_samples: int, counts: bool) -> None:
        self.n_samples = n_samples
        self.n_steps = np.zeros(n_samples, np.int64) if counts else None

    def add(self, n_steps: NDArray[np.int64], n_states: int, rows: Array | None) -> None:
        if self.n_steps is not None:
            self.n_steps[slice(None) if rows is None else rows] += n_steps.reshape(n_states, -1).max(axis=0)


class _Stage:
    """Graphs that run one after another for the same samples."""

    def __init__(self, plain: Mapping[str, Any], open_graph: Callable[[str], Any]) -> None:
        self.pieces = [_Piece(piece, open_graph) for piece in plain["pieces"]]
        self.reads = frozenset(name for piece in self.pieces for name in piece.inputs)

    def part(self, known: Tensors, rows: Array) -> Tensors:
        """Returns what the stage reads of the samples `rows`."""
        return {name: value[rows] for name, value in known.items() if name in self.reads}

    def run(self, known: Tensors, batch: _Batch, rows: Array | None) -> Tensors:
        """Returns all results; `rows` are the numbers of the samples in the batch."""
        if len(self.pieces) == 1:
            return self.pieces[0].run(known)
        found: Tensors = {}
        for piece in self.pieces:
            found |= piece.run({**known, **found})
            if piece.solve is not None:
                solution = piece.solved(found)
                found[f"solution.{piece.solve['number']}"] = solution.z
                batch.add(solution.n_steps, piece.solve["n_states"], rows)
        return found


class _Piece:
    """One graph, and the fixed point that is solved after it."""

    def __init__(self, plain: Mapping[str, Any], open_graph: Callable[[str], Any]) -> None:
        self.session = open_graph(plain["graph"])
        self.inputs: Sequence[str] = plain["inputs"]
        self.outputs: Sequence[str] = plain["outputs"]
        self.solve: Mapping[str, Any] | None = plain["solve"]
        self.step = None if self.solve is None else open_graph(self.solve["graph"])

    def run(self, known: Tensors) -> Tensors:
        found = self.session.run(self.outputs, {name: known[name] for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))

    def solved(self, found: Tensors) -> Any:
        assert self.solve is not None and self.step is not None
        number, step = self.solve["number"], self.step
        names, iterate, image = self.solve["inputs"], f"iterate.{number}", [f"image.{number}"]
        arguments = {name: found[computed] for name, computed in self.solve["arguments"].items() if name in names}
        left = dict(arguments)
        seen: Array | None = None

        def function(z: Array, rows: Array | None) -> Array:
            nonlocal left, seen
            if rows is not None and rows is not seen:
                left, seen = {name: value[rows] for name, value in arguments.items()}, rows
            result: Array = step.run(image, {**left, iterate: z})[0]
            return result

        return solve(
            function,
            found[f"start.{number}"],
            n_states=self.solve["n_states"],
            solver=self.solve["solver"],
            rule=self.solve["rule"],
        )


def _rows_of(known: Tensors, rows: Array) -> Tensors:
    return {name: value[rows] for name, value in known.items()}
