"""Cutting of one ONNX graph into the pieces that are run one after another."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Piece:
    """Nodes of a graph that are run together.

    Attributes:
        nodes: Numbers of the nodes, ascending, in the graph that was cut.
        inputs: Names of the tensors that the nodes read from outside.
        outputs: Names of the results.
    """

    nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: list[str] = field(default_factory=list)


class Graph:
    """An ONNX graph whose tensors can be traced back to what they are computed from.

    Attributes:
        model: `onnx.ModelProto`.
    """

    def __init__(self, model: Any) -> None:
        """Indexes the nodes of the graph by the names of their results."""
        import onnx

        self.model = model
        self._reads = [_reads(node) for node in model.graph.node]
        self._made_by = {name: n for n, node in enumerate(model.graph.node) for name in node.output if name}
        self._inputs = {one.name for one in model.graph.input}
        self._weights = {one.name: one for one in model.graph.initializer}
        self._varies = set(self._inputs)
        for node, reads in zip(model.graph.node, self._reads, strict=True):
            if self._varies & set(reads):
                self._varies.update(node.output)
        inferred = onnx.shape_inference.infer_shapes(model).graph
        known = (*inferred.value_info, *inferred.output, *inferred.input)
        self._types = {one.name: one.type.tensor_type.elem_type for one in known}

    def varies(self, name: str) -> bool:
        """Returns whether a tensor depends on an input of the graph."""
        return name in self._varies

    def produced_by(self, piece: Piece) -> set[str]:
        """Returns the names of all tensors that the nodes of a piece compute and that vary."""
        return {name for n in piece.nodes for name in self.model.graph.node[n].output if name in self._varies}

    def piece(self, outputs: Iterable[str], *, known: Collection[str]) -> Piece:
        """Returns what computes `outputs` from inputs of the graph and from the tensors `known`."""
        wanted, reads, nodes = list(outputs), set(), set()
        kept = list(wanted)
        while wanted:
            name = wanted.pop()
            if name in known or name in self._inputs:
                reads.add(name)
            elif name in self._made_by and self._made_by[name] not in nodes:
                nodes.add(self._made_by[name])
                wanted += self._reads[self._made_by[name]]
        return Piece(tuple(sorted(nodes)), tuple(sorted(reads)), kept)

    def write(self, piece: Piece) -> bytes:
        """Returns a piece as an ONNX model, whose tensors may have any shape."""
        from onnx import helper

        nodes = [self.model.graph.node[n] for n in piece.nodes]
        reads = {name for n in piece.nodes for name in self._reads[n]}
        passed = [name for name in piece.outputs if name in piece.inputs]  # what is computed already
        assert not passed, f"{passed} would be results that nothing computes"
        graph = helper.make_graph(
            nodes,
            "nasfuse",
            self._described(piece.inputs),
            self._described(piece.outputs),
            [weight for name, weight in self._weights.items() if name in reads],
        )
        model = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        text: bytes = model.SerializeToString()
        return text

    def _described(self, names: Sequence[str]) -> list[Any]:
        from onnx import helper

        return [helper.make_tensor_value_info(name, self._types[name], None) for name in names]


def _reads(node: Any) -> list[str]:
    """Returns the names of the tensors that a node reads, also those in the branches of a condition."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            own = {name for inner in attribute.g.node for name in inner.output}
            names += [name for inner in attribute.g.node for name in _reads(inner) if name not in own]
    return names
