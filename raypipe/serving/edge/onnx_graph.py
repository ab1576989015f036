"""Models as ONNX graphs: from features, float32 of shape (n, n_features), to what the model says.

The output is `probabilities`, float64 of shape (n, n_classes), or `value`, float64 of shape (n,). Graphs are
put together node by node from a model's numbers, so that only the package `onnx` is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.families.linear import LinearModel
from raypipe.training.families.torch_loop import MAX_INPUT
from raypipe.training.families.torch_mlp import TorchMlpModel
from raypipe.training.families.xgboost_trees import XgboostModel
from raypipe.training.models import Float32Matrix, Float64Array, Model

if TYPE_CHECKING:
    import numpy.typing as npt

INPUT = "features"
_OPSETS = {"": 17, "ai.onnx.ml": 3}
_IR_VERSION = 10


def onnx_package(name: str = "onnx") -> ModuleType:
    """Return the module `onnx` or `onnxruntime`; raises ConfigError where it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--onnx needs {name}, which is not installed: `pip install 'raypipe[onnx]'`."
        ) from error


@dataclass
class _Graph:
    """Nodes and numbers of a graph in the making; a value is known by its name."""

    nodes: list[Any] = field(default_factory=list)
    numbers: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Add a node, and return the name of its output."""
        name = f"v{len(self.nodes)}"
        helper = onnx_package().helper
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def number(self, value: npt.ArrayLike, dtype: type[np.generic]) -> str:
        """Add an array, and return its name."""
        name = f"n{len(self.numbers)}"
        array = np.asarray(value, dtype)
        self.numbers.append(onnx_package().numpy_helper.from_array(array, name))
        return name


def to_onnx(model: Model, n_classes: int, feature_names: Sequence[str]) -> bytes:
    """Return a model as ONNX; raises ArtifactError where it has no such form, ConfigError without `onnx`."""
    graph = _Graph()
    match model:
        case ConstantModel():
            result = _constant(graph, model)
        case LinearModel():
            result = _linear(graph, model)
        case XgboostModel():
            result = _trees(graph, model, n_classes)
        case TorchMlpModel():
            result = _network(graph, model)
        case _:
            raise ArtifactError(f"a model of the format {model.format!r} cannot be written as ONNX.")
    return _written(graph, result, n_classes, feature_names)


def run_onnx(data: bytes, features: Float32Matrix) -> Float64Array:
    """Return what a graph says of features; raises ConfigError without `onnxruntime`."""
    runtime = onnx_package("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    [found] = session.run(None, {INPUT: features})
    return np.asarray(found, np.float64)


def _written(graph: _Graph, result: str, n_classes: int, feature_names: Sequence[str]) -> bytes:
    onnx = onnx_package()
    helper, types = onnx.helper, onnx.TensorProto
    name, shape = ("probabilities", ["n", n_classes]) if n_classes else ("value", ["n"])
    graph.nodes.append(helper.make_node("Identity", [result], [name]))
    made = helper.make_graph(
        graph.nodes,
        "raypipe",
        [helper.make_tensor_value_info(INPUT, types.FLOAT, ["n", len(feature_names)])],
        [helper.make_tensor_value_info(name, types.DOUBLE, shape)],
        graph.numbers,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    model = helper.make_model(made, opset_imports=opsets, producer_name="raypipe", ir_version=_IR_VERSION)
    helper.set_model_props(model, {"feature_names": json.dumps(list(feature_names))})
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _double(graph: _Graph, value: str) -> str:
    return graph.add("Cast", value, to=int(onnx_package().TensorProto.DOUBLE))


def _column(graph: _Graph, value: str) -> str:
    """Return the only column of a matrix."""
    return graph.add("Squeeze", value, graph.number([1], np.int64))


def _two_classes(graph: _Graph, second: str) -> str:
    """Return the shares of both classes by that of the second, shape (n, 1), float32."""
    first = graph.add("Sub", graph.number(1.0, np.float64), _double(graph, second))
    return graph.add("Concat", first, _double(graph, second), axis=1)


def _constant(graph: _Graph, model: ConstantModel) -> str:
    shape = graph.add("Shape", INPUT)
    n_rows = graph.add("Gather", shape, graph.number([0], np.int64))
    if model.value is not None:
        return graph.add("Expand", graph.number([model.value], np.float64), n_rows)
    width = graph.number([len(model.shares)], np.int64)
    whole = graph.add("Concat", n_rows, width, axis=0)
    return graph.add("Expand", graph.number([list(model.shares)], np.float64), whole)


def _linear(graph: _Graph, model: LinearModel) -> str:
    told = model.description
    weights, intercept = model.coefficients.T, model.intercept
    if told.kind == "logistic" and weights.shape[1] == 1:
        # A single score is that of the second of two classes, the first having 0.
        weights = np.column_stack([np.zeros_like(weights), weights])
        intercept = np.concatenate([[0.0], intercept])
    product = graph.add("MatMul", _double(graph, INPUT), graph.number(weights, np.float64))
    scores = graph.add("Add", product, graph.number(intercept, np.float64))
    if told.kind == "ridge":
        return _column(graph, scores)
    shares = graph.add("Softmax", scores, axis=1)
    if len(told.classes) == told.n_classes:
        return shares
    places = np.zeros((len(told.classes), told.n_classes))
    places[range(len(told.classes)), told.classes] = 1.0
    return graph.add("MatMul", shares, graph.number(places, np.float64))


def _network(graph: _Graph, model: TorchMlpModel) -> str:
    told = model.architecture
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in model.tensors().items()}
    float32 = np.float32
    centred = graph.add("Sub", INPUT, graph.number(tensors["mean"], float32))
    scaled = graph.add("Mul", centred, graph.number(tensors["factor"], float32))
    low, high = graph.number(-MAX_INPUT, float32), graph.number(MAX_INPUT, float32)
    value = graph.add("Clip", scaled, low, high)
    for layer in range(told.n_layers):
        # Linear, norm, ReLU and dropout, which does nothing here.
        value = _dense(graph, value, tensors, f"network.{4 * layer}")
        norm = f"network.{4 * layer + 1}"
        scale, bias = (graph.number(tensors[f"{norm}.{part}"], float32) for part in ("weight", "bias"))
        value = graph.add("LayerNormalization", value, scale, bias, axis=-1, epsilon=1e-5)
        value = graph.add("Relu", value)
    outputs = _double(graph, _dense(graph, value, tensors, f"network.{4 * told.n_layers}"))
    if told.n_classes:
        return graph.add("Softmax", outputs, axis=1)
    spread = graph.add("Mul", _column(graph, outputs), graph.number(told.target_scale, np.float64))
    return graph.add("Add", spread, graph.number(told.target_mean, np.float64))


def _dense(graph: _Graph, value: str, tensors: Mapping[str, npt.NDArray[np.float32]], name: str) -> str:
    weight, bias = (graph.number(tensors[f"{name}.{part}"], np.float32) for part in ("weight", "bias"))
    return graph.add("Gemm", value, weight, bias, transB=1)


def _trees(graph: _Graph, model: XgboostModel, n_classes: int) -> str:
    learner = json.loads(model.as_json())["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree" or any(any(tree["split_type"]) for tree in booster["model"]["trees"]):
        raise ArtifactError("boosted trees with categorical splits or dropout cannot be written as ONNX.")
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64)
    n_targets = n_classes if n_classes > 2 else 1
    if n_classes == 2:
        base = np.log(base / (1 - base))  # It is kept as a probability, and added as a score.
    scores = graph.add(
        "TreeEnsembleRegressor",
        INPUT,
        domain="ai.onnx.ml",
        n_targets=n_targets,
        base_values=np.broadcast_to(base, (n_targets,)).astype(np.float32).tolist(),
        **_ensemble(booster["model"]),
    )
    if n_classes == 2:
        return _two_classes(graph, graph.add("Sigmoid", scores))
    if n_classes:
        return _double(graph, graph.add("Softmax", scores, axis=1))
    return _double(graph, _column(graph, scores))


def _ensemble(model: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return trees as ONNX lists them, node by node; a feature is never missing."""
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in _NODE_PARTS}
    leaves: dict[str, list[Any]] = {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, (tree, target) in enumerate(zip(model["trees"], model["tree_info"], strict=True)):
        for node, left in enumerate(tree["left_children"]):
            is_leaf = left == -1
            condition = tree["split_conditions"][node]
            row = (
                number,
                node,
                0 if is_leaf else tree["split_indices"][node],
                0.0 if is_leaf else condition,
                "LEAF" if is_leaf else "BRANCH_LT",
                0 if is_leaf else left,
                0 if is_leaf else tree["right_children"][node],
                0,
            )
            for name, value in zip(_NODE_PARTS, row, strict=True):
                nodes[f"nodes_{name}"].append(value)
            if is_leaf:
                for name, value in zip(leaves, (number, node, target, condition), strict=True):
                    leaves[name].append(value)
    return {**nodes, **leaves}


_NODE_PARTS = (
    "treeids",
    "nodeids",
    "featureids",
    "values",
    "modes",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)
