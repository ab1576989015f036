"""Bodies of inferences, made of rows by hand: what a client of the protocol sends."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

JSON_TYPE = (b"content-type", b"application/json")
DATATYPES = {"amount": "FP64", "size": "INT64", "colour": "BYTES", "member": "BOOL", "seen": "BYTES"}
NUMPY = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT8": "<i1", "UINT64": "<u8", "BOOL": "?"}
ROWS: Sequence[Mapping[str, Any]] = (
    {"amount": 12.5, "size": 3, "colour": "red", "member": True, "seen": "2026-01-31T12:00:00Z"},
    {"amount": None, "size": -4, "colour": "bläu", "member": False, "seen": None},
    {"amount": 0.1, "size": 8, "colour": "", "member": True, "seen": "2026-07-01"},
)


def tensor(name: str, datatype: str, data: Sequence[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data), 1], "datatype": datatype, "data": list(data), **more}


def tensors(rows: Sequence[Mapping[str, Any]] = ROWS, **datatypes: str) -> list[dict[str, Any]]:
    found = {**DATATYPES, **datatypes}
    return [tensor(name, datatype, [row.get(name) for row in rows]) for name, datatype in found.items()]


def as_json(inputs: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def as_bytes(inputs: Sequence[Mapping[str, Any]], **more: Any) -> tuple[bytes, int]:
    """Return a body with the elements after the JSON, and the length of the JSON."""
    parts = [elements(one["datatype"], one["data"]) for one in inputs]
    headers = [
        {
            **{key: value for key, value in one.items() if key != "data"},
            "parameters": {"binary_data_size": len(part)},
        }
        for one, part in zip(inputs, parts, strict=True)
    ]
    head = as_json(headers, **more)
    return head + b"".join(parts), len(head)


def elements(datatype: str, data: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [(text or "").encode() for text in data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    values = [float("nan") if one is None else one for one in data]
    return np.array(values, NUMPY[datatype]).tobytes()


def length(n_json: int | bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a body with bytes after the JSON."""
    told = n_json if isinstance(n_json, bytes) else b"%d" % n_json
    return ((b"content-type", b"application/octet-stream"), (b"inference-header-content-length", told))
