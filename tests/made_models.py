"""Small networks for the tests, written node by node: what they answer is known beforehand."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rtsep.models.card import STEP, Card, metadata
from rtsep.stages.learned import BANDS
from rtsep_kernels.learned import VALUES, WEIGHTS


def constant(path: pathlib.Path, weights: np.ndarray, wait: int = 0) -> str:
    """Write a network that always answers the same weights, float32[WEIGHTS, BANDS], and counts its steps.

    With `wait`, it answers NaN from its `wait`th step on.
    """
    row = numpy_helper.from_array(weights.reshape(1, 1, WEIGHTS * BANDS).astype(np.float32), "row")
    nodes = [
        helper.make_node("Add", ["steps", "one"], ["steps_next"]),
        helper.make_node("ReduceSum", ["x", "last"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "row"], ["good"]),
    ]
    inits = [row, _scalar("one", 1.0), _scalar("zero", 0.0), numpy_helper.from_array(np.array([2], np.int64), "last")]
    if wait:
        nodes += [
            helper.make_node("Less", ["steps", "limit"], ["young"]),
            helper.make_node("Where", ["young", "good", "nan"], ["y"]),
        ]
        inits += [_scalar("limit", wait), _scalar("nan", np.nan)]
    else:
        nodes.append(helper.make_node("Identity", ["good"], ["y"]))
    real = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "constant",
        [helper.make_tensor_value_info("x", real, [1, "mics", VALUES * BANDS]),
         helper.make_tensor_value_info("steps", real, [1, "mics", 1])],
        [helper.make_tensor_value_info("y", real, [1, "mics", WEIGHTS * BANDS]),
         helper.make_tensor_value_info("steps_next", real, [1, "mics", 1])],
        inits,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    card = Card(
        system="custom", kind=STEP, rate=48000, window=1024, hop=128, channels=0, sources=(), frames=VALUES * BANDS,
        look_ahead=0, latency=0, states=(("steps", "steps_next"),),
    )
    for key, value in metadata(card).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return str(path)


def _scalar(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([[[value]]], np.float32), name)
