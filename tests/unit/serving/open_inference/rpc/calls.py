"""Messages made of rows by hand: what a client with generated stubs sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from raypipe.serving.open_inference.rpc.messages import METHODS
from tests.unit.serving.open_inference.bodies import DATATYPES, ROWS, elements

Infer = METHODS["ModelInfer"]
FIELDS = {
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "UINT8": "uint_contents",
    "UINT64": "uint64_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}


def typed(rows: Sequence[Mapping[str, Any]] = ROWS, **datatypes: str) -> Any:
    """Return a request with the elements of each column in the field of its datatype."""
    request = Infer.request(model_name="tiny")
    for name, datatype in {**DATATYPES, **datatypes}.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(rows), 1])
        values = [row.get(name) for row in rows]
        if datatype == "BYTES":
            tensor.contents.bytes_contents.extend((value or "").encode() for value in values)
        else:
            found = [float("nan") if value is None else value for value in values]
            getattr(tensor.contents, FIELDS[datatype]).extend(found)
    return request


def raw(rows: Sequence[Mapping[str, Any]] = ROWS, **datatypes: str) -> Any:
    """Return the same with the bytes of all columns beside them."""
    request = Infer.request(model_name="tiny")
    for name, datatype in {**DATATYPES, **datatypes}.items():
        request.inputs.add(name=name, datatype=datatype, shape=[len(rows), 1])
        request.raw_input_contents.append(elements(datatype, [row.get(name) for row in rows]))
    return request


def with_ids(request: Any, ids: Sequence[str]) -> Any:
    request.parameters["ids"].string_param = json.dumps(list(ids))
    return request
