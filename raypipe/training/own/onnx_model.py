"""A graph in ONNX that was made elsewhere, answered by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.files import storage_errors, write_json
from raypipe.training.models import Float32Matrix, Float64Array, check_width
from raypipe.training.onnx_file import refuse_elsewhere

_FILE, _DESCRIPTION = "model.onnx", "onnx.json"
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


@dataclass(frozen=True)
class Ends:
    """What goes into a graph and what comes out of it."""

    n_features: int
    n_classes: int
    """0 for a number."""
    input: str
    output: str


@dataclass(frozen=True)
class OnnxModel:
    """A graph of float32 features, shape (n, n_features); it answers on one CPU."""

    data: bytes
    ends: Ends

    format = "onnx"

    def __getstate__(self) -> dict[str, object]:
        return {"data": self.data, "ends": self.ends}

    def predict(self, features: Float32Matrix) -> Float64Array:
        check_width(features, self.ends.n_features)
        if len(features) == 0:
            return np.empty((0, self.ends.n_classes) if self.ends.n_classes else 0)
        [made] = self._session.run([self.ends.output], {self.ends.input: np.ascontiguousarray(features)})
        found = np.asarray(made, np.float64)
        if self.ends.n_classes == 2 and found.size == len(features):
            second = found.reshape(len(features))
            return np.column_stack([1.0 - second, second])
        shape = (len(features), self.ends.n_classes) if self.ends.n_classes else (len(features),)
        if found.size != np.prod(shape):
            raise ValueError(f"the graph must answer in the shape {shape}. Got {found.shape}")
        return found.reshape(shape)

    def save(self, folder: Path) -> None:
        with storage_errors(folder):
            (folder / _FILE).write_bytes(self.data)
        write_json(folder / _DESCRIPTION, asdict(self.ends))

    @cached_property
    def _session(self) -> Any:
        runtime = onnx_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return runtime.InferenceSession(self.data, options, providers=["CPUExecutionProvider"])

    @staticmethod
    def load(folder: Path) -> OnnxModel:
        path = folder / _FILE
        try:
            ends = Ends(**json.loads((folder / _DESCRIPTION).read_bytes()))
            data = path.read_bytes()
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no graph that raypipe kept: {error}.") from error
        return checked(path, data, ends)

    @staticmethod
    def of_file(path: Path, n_features: int, n_classes: int, output: str | None) -> OnnxModel:
        """Read a graph that was made elsewhere; raises ArtifactError for one that cannot answer."""
        data = path.read_bytes()
        graph = _parsed(path, data).graph
        weights = {one.name for one in graph.initializer}
        inputs = [one.name for one in graph.input if one.name not in weights]
        outputs = [one.name for one in graph.output]
        if len(inputs) != 1:
            raise ArtifactError(
                f"{path} must take one input, all features in one float32 matrix. Got {len(inputs)}: "
                f"{', '.join(inputs)}."
            )
        chosen = output or _likely(outputs, n_classes)
        if chosen not in outputs:
            raise ArtifactError(
                f"{path} must have the output that `output` names. Got {chosen!r}; it has "
                f"{', '.join(outputs)}."
            )
        return checked(path, data, Ends(n_features, n_classes, inputs[0], chosen))


def checked(path: Path, data: bytes, ends: Ends) -> OnnxModel:
    """Return the model of a graph that answers; raises ArtifactError, before ONNX Runtime reads anything, for
    one that reads other files or needs operators beyond ONNX's own.
    """
    refuse_elsewhere(path)
    _refuse_beyond(path, _parsed(path, data))
    model = OnnxModel(data, ends)
    try:
        model.predict(np.zeros((2, ends.n_features), np.float32))
    except ConfigError:
        raise
    except Exception as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(
            f"{path} does not answer rows of {ends.n_features} float32 features: {first_line}. Made of "
            "scikit-learn it needs `zipmap: False`, and probabilities as its output."
        ) from error
    return model


def onnx_module(name: str) -> Any:
    """Return `onnx` or `onnxruntime`; raises ConfigError where it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a model in ONNX needs {name}, which is not installed: `pip install 'raypipe[onnx]'`."
        ) from error


def _likely(outputs: list[str], n_classes: int) -> str:
    """Return the output of probabilities: by its name, or the last, as converters write the label first."""
    named = [one for one in outputs if "prob" in one.lower()]
    return (named if named and n_classes else outputs)[-1] if outputs else "none"


def _parsed(path: Path, data: bytes) -> Any:
    onnx = onnx_module("onnx")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own kinds of error
        raise ArtifactError(f"{path} is no ONNX model: {error}.") from error
    if not model.graph.node:
        raise ArtifactError(f"{path} is no ONNX model: it has no graph.")
    return model


def _refuse_beyond(path: Path, model: Any) -> None:
    known = {*_DOMAINS, *(function.domain for function in model.functions)}
    for graph in _graphs(model):
        for node in graph.node:
            if node.domain not in known:
                raise ArtifactError(
                    f"{path} needs the operator {node.op_type} of {node.domain}, and only ONNX's own are run."
                )


def _graphs(model: Any) -> Iterator[Any]:
    todo = [model.graph, *model.functions]
    while todo:
        graph = todo.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    todo.append(attribute.g)
                todo += attribute.graphs
