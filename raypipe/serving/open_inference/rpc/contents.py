"""The elements of a message's tensors, as the bytes by which the protocol sends them over HTTP, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raypipe.serving.open_inference.datatypes import BYTES, NUMPY
from raypipe.serving.open_inference.message import shown
from raypipe.serving.open_inference.rpc.messages import Message
from raypipe.serving.open_inference.tensors import Element, texts_to_bytes
from raypipe.serving.request import RefusedRequest, TooLarge

FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""Which field holds the elements of each datatype; FP16 has none."""
_WIDEST: Mapping[str, str] = {"int_contents": "<i4", "uint_contents": "<u4"}


def read_contents(tensor: Message, max_rows: int) -> bytes:
    """Return the bytes of a tensor whose elements came one by one; raises RefusedRequest."""
    field = FIELDS.get(tensor.datatype)
    given = [one.name for one, _ in tensor.contents.ListFields()]
    if given != [field]:
        _refuse(tensor, field, given)
    values = getattr(tensor.contents, given[0])
    if len(values) > max_rows:
        raise TooLarge(
            f"a request may have at most {max_rows:,} rows (serving.max_rows). Got {len(values):,} "
            f"elements in the tensor {shown(tensor.name)}; send several requests."
        )
    if tensor.datatype == BYTES:
        return texts_to_bytes(list(values))
    return _narrow(tensor, np.array(values, _WIDEST.get(given[0], NUMPY[tensor.datatype])))


def write_contents(contents: Message, datatype: str, elements: Sequence[Element]) -> None:
    """Put elements without missing ones into a message's contents."""
    values = [str(one).encode() for one in elements] if datatype == BYTES else elements
    getattr(contents, FIELDS[datatype]).extend(values)


def _refuse(tensor: Message, field: str | None, given: Sequence[str]) -> None:
    if field is None and tensor.datatype in NUMPY:
        raise RefusedRequest(
            f"the tensor {shown(tensor.name)} of {tensor.datatype} must come in raw_input_contents; "
            "the protocol has no other place for its elements."
        )
    if field is not None:
        raise RefusedRequest(
            f"the tensor {shown(tensor.name)} of {tensor.datatype} must have its elements in {field}, or "
            f"those of all tensors in raw_input_contents. Got {', '.join(given) or 'none'}."
        )
    raise RefusedRequest(
        f"datatype of the tensor {shown(tensor.name)} must be one of {', '.join((*NUMPY, BYTES))}. "
        f"Got {shown(tensor.datatype)}."
    )


def _narrow(tensor: Message, values: npt.NDArray[Any]) -> bytes:
    """Return the bytes of integers in their own width, into which each must fit."""
    narrow = values.astype(NUMPY[tensor.datatype], copy=False)
    if narrow.dtype != values.dtype and not np.array_equal(narrow, values):
        raise RefusedRequest(
            f"the tensor {shown(tensor.name)} must hold {tensor.datatype} values. "
            f"Got {values[int((narrow != values).argmax())]}."
        )
    return narrow.tobytes()
