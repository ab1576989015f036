"""The body of an inference request: JSON, and after it the bytes of the tensors that are sent as such."""

from __future__ import annotations

import msgspec

from raypipe.serving.request import Int64, RefusedRequest, decode_form

HEADER_LENGTH = b"inference-header-content-length"
_HEADER = "Inference-Header-Content-Length"
_FORM = '{"inputs": [{"name": "...", "shape": [n, 1], "datatype": "...", "data": [...]}, ...]}'


class TensorParameters(msgspec.Struct, gc=False):
    """What may be said of one tensor; other parameters mean nothing here."""

    binary_data_size: Int64 | None = None
    binary_data: bool | None = None
    classification: Int64 | None = None
    shared_memory_region: str | None = None


class InputTensor(msgspec.Struct, gc=False):
    """One tensor of a request; without `data`, its elements come after the JSON."""

    name: str
    shape: list[Int64]
    datatype: str
    parameters: TensorParameters | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class RequestedOutput(msgspec.Struct, gc=False):
    """One tensor that the answer shall have."""

    name: str
    parameters: TensorParameters | None = None


class RequestParameters(msgspec.Struct, gc=False):
    """What may be said of a request. `ids` are those of the predictions, a list, or the JSON of one."""

    binary_data_output: bool = False
    ids: list[str] | str | None = None


class InferRequest(msgspec.Struct):
    """The JSON of a request."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: RequestParameters | None = None
    outputs: list[RequestedOutput] | None = None


_REQUEST = msgspec.json.Decoder(InferRequest)


def read_message(body: bytes, header_length: bytes | None) -> tuple[InferRequest, memoryview]:
    """Return the JSON of a body and the bytes after it; raises RefusedRequest.

    `header_length` is what the header of that name says: how many bytes of the body are JSON; without it
    all are.
    """
    n_json = len(body) if header_length is None else _length(header_length, len(body))
    return decode_form(_REQUEST, body[:n_json], _FORM), memoryview(body)[n_json:]


def cut(tensors: list[InputTensor], data: memoryview) -> list[memoryview | None]:
    """Return the bytes of each tensor, None where it has JSON data; raises RefusedRequest."""
    parts: list[memoryview | None] = []
    at = 0
    for tensor in tensors:
        size = _size(tensor)
        if size is None:
            parts.append(None)
            continue
        if size < 0 or size > len(data) - at:
            raise RefusedRequest(
                f"binary_data_size of {told(tensor)} must be 0 to the {len(data) - at:,} bytes "
                f"that are left after the JSON, whose length the header {_HEADER} says. Got {size}."
            )
        parts.append(data[at : at + size])
        at += size
    if at < len(data):
        raise RefusedRequest(
            f"the bytes after the JSON must be those of the tensors, {at:,} by their binary_data_size. "
            f"Got {len(data):,}."
        )
    return parts


def told(tensor: InputTensor) -> str:
    """Return how a tensor is spoken of in a sentence."""
    return f"the tensor {shown(tensor.name)}"


def shown(text: str) -> str:
    """Return what a client sent, as it is repeated in a sentence: bounded, and quoted."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _length(header: bytes, n_bytes: int) -> int:
    if not header.isdigit() or len(header) > 19 or int(header) > n_bytes:
        raise RefusedRequest(
            f"the header {_HEADER} must say how many bytes of the body are JSON, 0 to {n_bytes:,}. "
            f"Got {shown(header.decode('latin-1'))}."
        )
    return int(header)


def _size(tensor: InputTensor) -> int | None:
    parameters = tensor.parameters or TensorParameters()
    if parameters.shared_memory_region is not None:
        raise RefusedRequest(f"{told(tensor)} must come with the request; shared memory is not read here.")
    size = parameters.binary_data_size
    if (size is None) == (not bytes(tensor.data)):
        raise RefusedRequest(
            f"{told(tensor)} must have data, or binary_data_size in its parameters, and not both."
        )
    return size
