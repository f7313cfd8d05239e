"""Cutting of graphs and constants for shapes, on graphs of a few nodes made by hand."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nasfuse.deployment.cutting import Graph
from nasfuse.deployment.precision import with_supported_types
from nasfuse.deployment.quantisation import quantised
from nasfuse.deployment.shapes import with_constant_shapes, without_single_parts
from nasfuse.runtime.bundle import open_session


def model_of(nodes, inputs, outputs, *, dtype=TensorProto.FLOAT, **weights):
    described = [[helper.make_tensor_value_info(name, dtype, None) for name in names] for names in (inputs, outputs)]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", *described, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


CHAIN = model_of(
    [
        helper.make_node("Add", ["x", "w"], ["a"]),
        helper.make_node("Mul", ["a", "a"], ["b"]),
        helper.make_node("Add", ["b", "y"], ["c"]),
        helper.make_node("Add", ["w", "w"], ["fixed"]),
        helper.make_node("Mul", ["a", "fixed"], ["d"]),
    ],
    ["x", "y"],
    ["b", "c", "d"],
    w=np.float32([2.0]),
)


def test_a_piece_has_what_its_outputs_need_and_no_more():
    graph = Graph(CHAIN)
    piece = graph.piece(["c"], known=())
    assert (piece.nodes, piece.inputs) == ((0, 1, 2), ("x", "y"))
    piece = graph.piece(["c"], known={"b"})
    assert (piece.nodes, piece.inputs) == ((2,), ("b", "y"))
    assert graph.produced_by(graph.piece(["d"], known=())) == {"a", "d"}
    assert not graph.varies("fixed")


def test_a_piece_runs_alone():
    graph = Graph(CHAIN)
    run = open_session(graph.write(graph.piece(["d"], known={"a"})), threads=1).run
    assert run(["d"], {"a": np.float32([1, 3])})[0].tolist() == [4, 12]


def test_the_target_of_a_reshape_becomes_a_constant():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "six"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    model = model_of(nodes, ["x"], ["y"], zero=np.array([0]), six=np.array([6]))
    with_constant_shapes(model, [{"x": np.zeros((size, 2, 3), np.float32)} for size in (3, 5)])
    piece = Graph(model).piece(["y"], known=())
    assert piece.nodes == (3,)
    (name,) = [name for name in model.graph.node[3].input if name != "x"]
    (constant,) = [numpy_helper.to_array(one) for one in model.graph.initializer if one.name == name]
    assert constant.tolist() == [-1, 6]
    session = open_session(Graph(model).write(piece), threads=1)
    assert session.run(["y"], {"x": np.zeros((7, 2, 3), np.float32)})[0].shape == (7, 6)


def test_an_expand_of_a_row_to_the_batch_remains():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Expand", ["row", "s"], ["y"]),
    ]
    model = model_of(nodes, ["x"], ["y"], row=np.zeros((1, 2), np.float32))
    with_constant_shapes(model, [{"x": np.zeros((size, 2), np.float32)} for size in (3, 5)])
    assert model.graph.node[1].input[1] == "s"


def rows_of_ones(taken):
    """A Where by `taken` (3,) for each sample, whose rows are made for the batch."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], end=1),
        helper.make_node("Concat", ["s", "three"], ["both"], axis=0),
        helper.make_node("Expand", ["taken", "both"], ["rows"]),
        helper.make_node("Where", ["rows", "x", "zeros"], ["y"]),
    ]
    weights = {"three": np.array([3]), "taken": np.array([taken]), "zeros": np.zeros((1, 3), np.float32)}
    model = model_of(nodes, ["x"], ["y"], **weights)
    with_constant_shapes(model, [{"x": np.zeros((size, 3), np.float32)} for size in (3, 5)])
    return model


def test_the_same_row_for_every_sample_becomes_one_row():
    piece = Graph(rows_of_ones([True, False, True])).piece(["y"], known=())
    assert len(piece.nodes) == 1
    run = open_session(Graph(rows_of_ones([True, False, True])).write(piece), threads=1).run
    assert run(["y"], {"x": np.ones((7, 3), np.float32)})[0].tolist() == [[1, 0, 1]] * 7


def test_a_where_that_always_takes_one_side_passes_it_on():
    model = rows_of_ones([True, True, True])
    assert [node.op_type for node in model.graph.node][-1] == "Identity"
    run = open_session(Graph(model).write(Graph(model).piece(["y"], known=())), threads=1).run
    assert run(["y"], {"x": np.full((2, 3), 4, np.float32)})[0].tolist() == [[4, 4, 4]] * 2
    other = rows_of_ones([False, False, False])  # the other side has one row where the result has one per sample
    assert [node.op_type for node in other.graph.node][-1] == "Where"


def test_a_concatenation_of_one_tensor_passes_it_on():
    model = model_of([helper.make_node("Concat", ["x"], ["y"], axis=1)], ["x"], ["y"])
    without_single_parts(model)
    assert model.graph.node[0].op_type == "Identity"
    assert not model.graph.node[0].attribute


def test_operators_that_exist_in_float32_alone_keep_the_others_in_float64():
    nodes = [
        helper.make_node("Erf", ["x"], ["e"]),
        helper.make_node("Conv", ["e", "w"], ["c"]),
        helper.make_node("Add", ["c", "y"], ["z"]),
    ]
    model = model_of(nodes, ["x", "y"], ["z"], dtype=TensorProto.DOUBLE, w=np.array([[[2.0]]]))
    run = open_session(with_supported_types(model).SerializeToString(), threads=1).run
    (found,) = run(["z"], {"x": np.array([[[0.3]]]), "y": np.array([[[1e-9]]])})
    assert found.dtype == np.float64
    assert found.item() == pytest.approx(2 * math.erf(0.3), abs=1e-6)
    (without,) = run(["z"], {"x": np.array([[[0.3]]]), "y": np.array([[[0.0]]])})
    assert (found - without).item() == pytest.approx(1e-9, rel=1e-6), "the sum has more digits than float32"


def test_weights_of_8_bits_are_close():
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(16, 4)).astype(np.float32), rng.normal(size=(5, 16)).astype(np.float32)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], ["x"], ["y"], w=weight)
    model = onnx.shape_inference.infer_shapes(model)
    graphs = {"m": model.SerializeToString(), "step": model.SerializeToString()}
    small = quantised(graphs, exact={"step"})
    assert small["step"] == graphs["step"]
    found = open_session(small["m"], threads=1).run(["y"], {"x": x})[0]
    assert 0 < abs(found - x @ weight).max() < 0.1 * abs(x @ weight).max()
