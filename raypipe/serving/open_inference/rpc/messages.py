"""The messages of `inference.proto`, from its compiled form beside it.

They have a pool of their own: in protobuf's common one, whatever else defines the protocol in this process,
as Triton's client does, would clash with it. Generated Python would also tie the package to the versions of
protobuf that match its generator's. After a change of the .proto, in this folder:
`python -m grpc_tools.protoc -I . --descriptor_set_out=inference.binpb inference.proto`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PROTO = Path(__file__).with_name("inference.proto")
COMPILED = PROTO.with_suffix(".binpb")
SERVICE = "inference.GRPCInferenceService"
Message: TypeAlias = Any
"""A message of protobuf, which makes its classes when it runs."""


@dataclass(frozen=True)
class Method:
    """One method of the service, by what makes its messages."""

    request: type[Message]
    response: type[Message]

    def parse(self, body: bytes) -> Message:
        """Return the request in some bytes; raises protobuf's DecodeError."""
        return self.request.FromString(body)


def _file() -> Any:
    files = FileDescriptorSet.FromString(COMPILED.read_bytes())
    pool = DescriptorPool()
    return pool.AddSerializedFile(files.file[0].SerializeToString())


_FILE = _file()
METHODS: Mapping[str, Method] = {
    method.name: Method(GetMessageClass(method.input_type), GetMessageClass(method.output_type))
    for method in _FILE.services_by_name[SERVICE.rpartition(".")[2]].methods
}
"""The methods of the service by their names."""
