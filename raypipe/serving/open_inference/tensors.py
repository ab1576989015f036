"""The elements of tensors as Python values, and Python values as the bytes of tensors."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from raypipe.serving.open_inference.datatypes import BYTES, FLOATS, NUMPY
from raypipe.serving.open_inference.message import InputTensor, told
from raypipe.serving.request import RefusedRequest

Element: TypeAlias = "bool | int | float | str | None"

_LENGTH = struct.Struct("<I")


def read_elements(tensor: InputTensor, data: memoryview | None, n_elements: int) -> Sequence[Element]:
    """Return the elements of a tensor from its bytes or, without any, its JSON; raises RefusedRequest.

    A missing element is None: null, and NaN in bytes. Texts are as they were sent.
    """
    elements: Sequence[Element] | npt.NDArray[Any]
    if data is None:
        elements = _from_json(tensor)
    elif tensor.datatype == BYTES:
        elements = _texts(tensor, data)
    else:
        elements = _from_bytes(tensor, data, n_elements)
    if len(elements) != n_elements:
        raise RefusedRequest(
            f"{told(tensor)} must have {n_elements:,} elements, as its shape says. Got {len(elements):,}."
        )
    if tensor.datatype in FLOATS:
        return _finite(tensor, elements)
    return elements.tolist() if isinstance(elements, np.ndarray) else elements


def to_bytes(datatype: str, elements: Sequence[Element]) -> bytes:
    """Return the bytes of a tensor without missing elements, in the protocol's form."""
    if datatype != BYTES:
        return np.array(elements, NUMPY[datatype]).tobytes()
    return texts_to_bytes([str(element).encode() for element in elements])


def texts_to_bytes(texts: Sequence[bytes]) -> bytes:
    """Return the bytes of a tensor of texts, each after its length."""
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def _decoders(datatype: str) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    element: Any = float
    if datatype in (BYTES, "BOOL"):
        element = str if datatype == BYTES else bool
    elif datatype not in FLOATS:
        bounds = np.iinfo(NUMPY[datatype])
        most = min(int(bounds.max), 2**63 - 1)  # The most that msgspec compiles; see `_from_json`.
        element = Annotated[int, msgspec.Meta(ge=int(bounds.min), le=most)]
        if datatype == "UINT64":
            element = Annotated[int, msgspec.Meta(ge=0)]
    flat = list[element | None]
    return msgspec.json.Decoder(flat), msgspec.json.Decoder(list[flat])


_JSON: Mapping[str, tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]] = {
    datatype: _decoders(datatype) for datatype in (*NUMPY, BYTES)
}


def _from_json(tensor: InputTensor) -> Sequence[Element]:
    """Read a list of elements, or of rows of one element."""
    flat, nested = _JSON[tensor.datatype]
    raw = bytes(tensor.data)
    is_nested = raw[1:64].lstrip()[:1] == b"["
    try:
        found = nested.decode(raw) if is_nested else flat.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedRequest(
            f"data of {told(tensor)} must be a list of {tensor.datatype} values, or null for a "
            f"missing one. Got: {str(error).rstrip('.')}."
        ) from None
    elements = list(itertools.chain.from_iterable(found)) if is_nested else found
    if tensor.datatype == "UINT64" and any(one is not None and one >= 2**64 for one in elements):
        raise RefusedRequest(f"data of {told(tensor)} must be UINT64 values, below 2^64. Got more.")
    return elements


def _from_bytes(tensor: InputTensor, data: memoryview, n_elements: int) -> npt.NDArray[Any]:
    dtype = np.dtype(NUMPY[tensor.datatype])
    if len(data) != n_elements * dtype.itemsize:
        raise RefusedRequest(
            f"{told(tensor)} must have {n_elements * dtype.itemsize:,} bytes, for {n_elements:,} elements of "
            f"{tensor.datatype}. Got {len(data):,}."
        )
    if tensor.datatype == "BOOL":  # Any byte but 0 is true; numpy takes those of its booleans to be 0 or 1.
        return np.frombuffer(data, np.uint8).astype(np.bool_)
    return np.frombuffer(data, dtype)


def _texts(tensor: InputTensor, data: memoryview) -> Sequence[Element]:
    """Read texts, each after its length in four bytes, the lowest first."""
    texts: list[Element] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else start
        if end > len(data):
            raise RefusedRequest(
                f"element {len(texts):,} of {told(tensor)} must end within the tensor's "
                f"{len(data):,} bytes. Got {end:,} as its end."
            )
        try:
            texts.append(str(data[start:end], "utf-8"))
        except UnicodeDecodeError:
            raise RefusedRequest(f"element {len(texts):,} of {told(tensor)} must be text in UTF-8.") from None
        at = end
    return texts


def _finite(tensor: InputTensor, elements: Sequence[Element] | npt.NDArray[Any]) -> Sequence[Element]:
    """Return floats as their datatype holds them, None for NaN; raises RefusedRequest for an infinite one."""
    with np.errstate(over="ignore"):
        values = np.array(elements, NUMPY[tensor.datatype])
    infinite = np.isinf(values)
    if infinite.any():
        raise RefusedRequest(
            f"{told(tensor)} must hold finite {tensor.datatype} values, or NaN for a missing one. "
            f"Got {elements[int(infinite.argmax())]} as element {int(infinite.argmax()):,}."
        )
    found: Sequence[Element] = values.tolist()
    return [None if one != one else one for one in found] if np.isnan(values).any() else found
