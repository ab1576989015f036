from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.training.onnx_file import refuse_elsewhere

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
OUTSIDE = "../../outside.bin"


def elsewhere(name: str = "w") -> object:
    """Return a tensor whose numbers are said to lie outside of the folder."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", OUTSIDE), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(*initializers: object, nodes: tuple[object, ...] = ()) -> object:
    return helper.make_graph(nodes, "g", [], [], initializer=initializers)


def subgraph() -> object:
    inner = helper.make_node("If", ["c"], [], then_branch=graph(elsewhere()), else_branch=graph())
    return helper.make_node("If", ["c"], [], then_branch=graph(nodes=(inner,)), else_branch=graph())


def sparse() -> object:
    tensor = helper.make_sparse_tensor(
        numpy_helper.from_array(np.zeros(1, np.float32), "v"),
        numpy_helper.from_array(np.zeros(1, np.int64), "i"),
        [9],
    )
    tensor.values.CopyFrom(elsewhere("v"))
    return tensor


def function() -> object:
    node = helper.make_node("Constant", [], ["x"], value=elsewhere())
    return helper.make_function("d", "f", [], ["x"], [node], [helper.make_opsetid("", 17)])


def training() -> object:
    info = onnx.TrainingInfoProto()
    info.algorithm.CopyFrom(graph(elsewhere()))
    return info


def model_of(*parts: object, **more: object) -> bytes:
    model = helper.make_model(graph(*parts), **more)
    return bytes(model.SerializeToString())


def with_training() -> bytes:
    model = helper.make_model(graph())
    model.training_info.append(training())
    return bytes(model.SerializeToString())


def with_sparse() -> bytes:
    model = helper.make_model(graph())
    model.graph.sparse_initializer.append(sparse())
    return bytes(model.SerializeToString())


def of_nodes(*nodes: object) -> bytes:
    return bytes(helper.make_model(graph(nodes=nodes)).SerializeToString())


OTHERS = {
    "an initializer": model_of(elsewhere()),
    "the second initializer": model_of(numpy_helper.from_array(np.ones(2), "a"), elsewhere()),
    "an attribute": of_nodes(helper.make_node("Constant", [], ["x"], value=elsewhere())),
    "attributes": of_nodes(helper.make_node("Other", [], ["x"], values=[elsewhere(), elsewhere()])),
    "a graph in a graph": of_nodes(subgraph()),
    "a function": model_of(functions=[function()]),
    "a sparse initializer": with_sparse(),
    "training": with_training(),
}


@pytest.mark.parametrize("name", ["model.onnx", "model.ubj", "weights"])
@pytest.mark.parametrize("where", OTHERS)
def test_numbers_that_lie_elsewhere_are_refused(where: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / name
    path.parent.mkdir()
    path.write_bytes(OTHERS[where])
    with pytest.raises(ArtifactError, match=r"is ONNX whose numbers lie in another file") as caught:
        refuse_elsewhere(tmp_path)
    assert str(path) in str(caught.value) and repr(OUTSIDE) in str(caught.value)


def test_a_location_without_a_name_is_refused(tmp_path: Path) -> None:
    tensor = elsewhere()
    tensor.ClearField("external_data")  # type: ignore[attr-defined]
    (tmp_path / "model.onnx").write_bytes(model_of(tensor))
    with pytest.raises(ArtifactError, match="'not named'"):
        refuse_elsewhere(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\x08", b"{}", b"\x08\x0a" * 9, b"\x08\x00\x05\x00\x00"])
def test_other_files_may_hold_anything(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    refuse_elsewhere(tmp_path)


def test_onnx_that_holds_its_numbers_passes_and_what_is_none_does_not(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(numpy_helper.from_array(np.ones(9), "a")))
    refuse_elsewhere(tmp_path)
    for cut in (path.read_bytes()[:-1], b"{}"):
        path.write_bytes(cut)
        with pytest.raises(ArtifactError, match="must be ONNX, as its name says"):
            refuse_elsewhere(tmp_path)
