"""Which datatypes of the protocol stand for which columns and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raypipe.data.schema import ColumnKind
from raypipe.training.task import ClassValue, Task

BYTES = "BYTES"
NUMPY: Mapping[str, str] = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""How numpy names the elements of each datatype but BYTES, whose elements have lengths of their own."""
FLOATS = ("FP64", "FP32", "FP16")
INTEGERS = tuple(name for name in NUMPY if "INT" in name)
DATATYPE: Mapping[ColumnKind, str] = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": BYTES,
    "timestamp": BYTES,
}
TAKEN: Mapping[ColumnKind, Sequence[str]] = {
    "number": (*FLOATS, *INTEGERS),
    "integer": (*INTEGERS, *FLOATS),
    "boolean": ("BOOL",),
    "category": (BYTES,),
    "timestamp": (BYTES,),
}
"""What a tensor for a column of each kind may be; floats in place of integers must be whole."""


def answer_datatype(task: Task) -> str:
    """Return the datatype of a task's predictions."""
    if task.kind == "regression":
        return "FP64"
    kinds = {_class_datatype(value) for value in task.classes}
    if len(kinds) == 1:
        return kinds.pop()
    return "FP64" if kinds <= {"INT64", "FP64"} else BYTES


def _class_datatype(value: ClassValue) -> str:
    match value:
        case bool():
            return "BOOL"
        case int():
            return "INT64"
        case float():
            return "FP64"
        case str():
            return BYTES
