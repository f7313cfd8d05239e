"""From a network to the graphs of a bundle and the program that runs them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nasfuse.deployment.cutting import Graph, Piece
from nasfuse.deployment.raw_inputs import RawInput, RawInputs
from nasfuse.deployment.stages import Layout, layout_of
from nasfuse.deployment.tracing import Solve, Traced, trace
from nasfuse.nn.equilibrium.solvers import Anderson, Broyden, Picard, Solver
from nasfuse.nn.network import Network
from nasfuse.nn.routing.calibration import price_at
from nasfuse.nn.routing.exits import levels_at
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.routing.sequential import SequentialNetwork


@dataclass(frozen=True)
class Deployed:
    """A network as ONNX graphs.

    Attributes:
        program: Inputs, stages and router, as plain values for the manifest of a bundle.
        graphs: ONNX models by name of the file.
    """

    program: dict[str, Any]
    graphs: dict[str, bytes] = field(repr=False)


def deploy(network: Network, inputs: Sequence[RawInput]) -> Deployed:
    """Returns the graphs of a network in evaluation mode on the CPU at its present settings.

    Each stage of a routed network (see `nasfuse.deployment.stages`) has graphs of its own, which read what earlier
    stages have computed. A stage with fixed points is cut there: one graph computes the arguments, one is a step, and
    the next continues from the solution.

    Args:
        network: The network; its mode is restored.
        inputs: The modalities that it reads.

    Raises:
        MissingPackageError: The package onnx is not installed.
    """
    was_training = network.training
    network.eval()
    try:
        layout = layout_of(network)
        traced = trace(network, RawInputs(inputs), layout)
    finally:
        network.train(was_training)
    cut = _Cut(traced, layout)
    program = {
        "inputs": [one.to_plain() for one in inputs],
        "stages": cut.stages,
        "router": _router(network, layout),
        "only_route": _only_route(network),
    }
    return Deployed(program, cut.graphs)


class _Cut:
    """The pieces of all stages."""

    def __init__(self, traced: Traced, layout: Layout) -> None:
        self.traced, self.graph = traced, Graph(traced.model)
        self.graphs: dict[str, bytes] = {}
        produced: list[set[str]] = []
        stages = []
        for stage in layout.stages:
            known = set().union(*(produced[number] for number in stage.after)) & traced.shared
            pieces = list(self._pieces(stage.results, known))
            produced.append(set().union(*(self.graph.produced_by(piece) for _, piece in pieces)))
            stages.append(pieces)
        for number, pieces in enumerate(stages):
            later = [piece for other in stages[number + 1 :] for _, piece in other]
            _add_outputs(self.graph, [piece for _, piece in pieces], later, traced.shared)
        self.stages = [
            {
                "name": stage.name,
                "after": list(stage.after),
                "results": list(stage.results),
                "pieces": [self._written(stage.name, place, *one) for place, one in enumerate(pieces)],
            }
            for stage, pieces in zip(layout.stages, stages, strict=True)
        ]

    def _pieces(self, results: Sequence[str], known: set[str]) -> Iterator[tuple[int | None, Piece]]:
        """Yields the pieces of a stage, each with the number of the fixed point that is solved after it."""
        before: set[str] = set()
        for number in self._solves(results, known):
            outputs = [f"start.{number}", *(f"computed.{number}.{i}" for i in self.traced.solves[number].per_sample)]
            piece = self.graph.piece(outputs, known=known | before)
            before |= self.graph.produced_by(piece)
            yield number, piece
        yield None, self.graph.piece(results, known=known | before)

    def _solves(self, results: Sequence[str], known: set[str]) -> list[int]:
        """Returns the numbers of the fixed points that `results` depend on."""
        found: set[int] = set()
        waiting = list(results)
        while waiting:
            piece = self.graph.piece(waiting, known=known)
            new = {int(name.split(".")[1]) for name in piece.inputs if name.startswith("solution.")} - found
            found |= new
            waiting = [f"computed.{n}.{i}" for n in new for i in self.traced.solves[n].per_sample]
            waiting += [f"start.{n}" for n in new]
        return sorted(found)

    def _written(self, stage: str, place: int, number: int | None, piece: Piece) -> dict[str, Any]:
        name = f"{stage}.onnx" if place == 0 and number is None else f"{stage}-{place}.onnx"
        self.graphs[name] = self.graph.write(piece)
        plain = {"graph": name, "inputs": list(piece.inputs), "outputs": list(piece.outputs), "solve": None}
        if number is None:
            return plain
        step_name = f"step{number}.onnx"
        step = self.graph.piece([f"image.{number}"], known=())
        self.graphs[step_name] = self.graph.write(step)
        return {**plain, "solve": _solve(number, self.traced.solves[number], step_name, step.inputs)}


def _add_outputs(graph: Graph, pieces: Sequence[Piece], later: Sequence[Piece], shared: frozenset[str]) -> None:
    """Adds to each piece of a stage the outputs that its later pieces, and later stages, read."""
    for place, piece in enumerate(pieces):
        produced = graph.produced_by(piece)
        reads = {name for other in pieces[place + 1 :] for name in other.inputs}
        reads |= {name for other in later for name in other.inputs if name in shared}
        piece.outputs += sorted((produced & reads) - set(piece.outputs))


def _solve(number: int, solve: Solve, graph: str, inputs: Sequence[str]) -> dict[str, Any]:
    rule = solve.layer.inference_rule
    return {
        "number": number,
        "graph": graph,
        "inputs": list(inputs),
        "arguments": {f"argument.{number}.{i}": f"computed.{number}.{i}" for i in solve.per_sample},
        "n_states": solve.n_states,
        "counts_samples": solve.n_rows_match,
        "solver": _solver(solve.layer.solver),
        "rule": {
            "tolerance": rule.tolerance,
            "max_steps": rule.max_steps,
            "patience": rule.patience,
            "bound": rule.bound,
        },
    }


def _solver(solver: Solver) -> dict[str, Any]:
    if isinstance(solver, Anderson):
        return {
            "kind": "anderson",
            "memory": solver.memory,
            "regularisation": solver.regularisation,
            "mixing": solver.mixing,
        }
    if isinstance(solver, Broyden):
        return {"kind": "broyden", "memory": solver.memory}
    assert isinstance(solver, Picard), "the three solvers"
    return {"kind": "picard", "damping": solver.damping}


def _only_route(network: Network) -> str | None:
    """Returns the name of the route that all samples take; None if there are no routes, or several are taken."""
    if not isinstance(network, RoutedNetwork):
        return None
    only = network.only_route()
    return None if only is None else network.route_names[only]


def _router(network: Network, layout: Layout) -> dict[str, Any] | None:
    """Returns how samples are routed; None for a static network."""
    if not isinstance(network, RoutedNetwork) or network.only_route() is not None:
        return None
    plain = {"routes": list(network.route_names), "stage_of_route": list(layout.stage_of_route)}
    threshold = float(network.threshold)
    if isinstance(network, SequentialNetwork):
        return {
            **plain,
            "kind": "sequential",
            "temperatures": network.exit_temperatures.tolist(),
            "levels": levels_at(threshold, network.exit_levels).tolist(),
        }
    assert isinstance(network, GatedNetwork), "the two kinds of routed networks"
    return {
        **plain,
        "kind": "gate",
        "scale": network.gate_scale.tolist(),
        "offset": network.gate_offset.tolist(),
        "relative_costs": network.relative_costs.tolist(),
        "price": price_at(threshold, network.gate_prices),
    }
