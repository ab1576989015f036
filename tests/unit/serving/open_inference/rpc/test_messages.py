from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from raypipe.serving.open_inference.rpc.messages import COMPILED, METHODS, PROTO
from raypipe.serving.open_inference.rpc.service import _KINDS


def compiled(path: Path) -> FileDescriptorProto:
    [found] = FileDescriptorSet.FromString(path.read_bytes()).file
    return found


def test_the_compiled_form_is_that_of_the_proto(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    anew = tmp_path / "inference.binpb"
    assert protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={anew}", str(PROTO)]) == 0
    assert compiled(anew) == compiled(COMPILED), (
        f"run protoc again, as {PROTO.with_name('messages.py').name} says"
    )


def test_every_method_is_answered() -> None:
    assert METHODS.keys() == _KINDS.keys()


def test_another_definition_of_the_protocol_may_be_in_the_same_process() -> None:
    """Generated stubs put theirs into protobuf's common pool, where two of one name clash."""
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.Default()
    pool.AddSerializedFile(compiled(COMPILED).SerializeToString())
    theirs = pool.FindMessageTypeByName("inference.ModelInferRequest")
    assert theirs is not METHODS["ModelInfer"].request.DESCRIPTOR
