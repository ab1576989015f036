"""Named tensors of one column each, made rows of a plain request, so that all is read and kept alike."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raypipe.data.schema import Column
from raypipe.serving.open_inference.datatypes import BYTES, DATATYPE, FLOATS, NUMPY, TAKEN
from raypipe.serving.open_inference.message import InferRequest, InputTensor, cut, shown, told
from raypipe.serving.open_inference.tensors import Element, read_elements
from raypipe.serving.request import (
    Hints,
    ParsedRequest,
    RefusedRequest,
    RequestSchema,
    RowError,
    TooLarge,
    check_ids,
)

_IDS = msgspec.json.Decoder(list[str])
_encode = msgspec.json.Encoder().encode


class UnfitRows(RefusedRequest):
    """Rows hold what their columns do not take."""

    status = 422


def read_rows(schema: RequestSchema, request: InferRequest, data: memoryview, max_rows: int) -> ParsedRequest:
    """Return the rows of a request, all valid, as there is one answer to all; raises RefusedRequest."""
    n_rows = _n_rows(request.inputs, max_rows)
    columns = {column.name: column for column in schema.inputs}
    _check_names(request.inputs, schema)
    parts = cut(request.inputs, data)
    read = [
        _column(tensor, part, n_rows, columns.get(tensor.name))
        for tensor, part in zip(request.inputs, parts, strict=True)
    ]
    names = [tensor.name for tensor in request.inputs]
    received = [
        msgspec.Raw(_encode(dict(zip(names, values, strict=True)))) for values in zip(*read, strict=True)
    ]
    hints = Hints()
    rows = [schema.row(raw, hints) for raw in received]
    _check_rows(rows)
    return ParsedRequest(rows, received, _ids(request, n_rows))


def _n_rows(tensors: Sequence[InputTensor], max_rows: int) -> int:
    if not tensors:
        raise RefusedRequest("inputs must have one tensor or more. Got none.")
    for tensor in tensors:
        if len(tensor.shape) not in (1, 2) or tensor.shape[0] < 1 or tensor.shape[1:] not in ([], [1]):
            raise RefusedRequest(
                f"shape of {told(tensor)} must be [n, 1] or [n], one column of n >= 1 rows. "
                f"Got {shown(str(tensor.shape[:5]))}."
            )
    n_rows = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape[0] != n_rows:
            raise RefusedRequest(
                f"all tensors must have one number of rows, {n_rows:,} as {shown(tensors[0].name)}. "
                f"Got {tensor.shape[0]:,} in {shown(tensor.name)}."
            )
    if n_rows > max_rows:
        raise TooLarge(
            f"a request may have at most {max_rows:,} rows (serving.max_rows). Got {n_rows:,}; send several "
            "requests."
        )
    return n_rows


def _check_names(tensors: Sequence[InputTensor], schema: RequestSchema) -> None:
    known = [*(column.name for column in schema.inputs), *schema.ignored]
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise RefusedRequest(f"tensors must differ in their names. Got {shown(tensor.name)} twice.")
        seen.add(tensor.name)
        if tensor.name not in known:
            near = Hints().nearest(tensor.name[:60], known)
            hint = f"did you mean {near!r}?" if near else "see the model's metadata for its inputs."
            raise RefusedRequest(f"the model has no input {shown(tensor.name)}; {hint}")


def _column(
    tensor: InputTensor, data: memoryview | None, n_rows: int, column: Column | None
) -> Sequence[Element]:
    taken = (*NUMPY, BYTES) if column is None else TAKEN[column.kind]
    if tensor.datatype not in taken:
        best = "" if column is None else f"{DATATYPE[column.kind]}; taken are "
        raise RefusedRequest(
            f"datatype of {told(tensor)} must be {best}{', '.join(taken)}. Got {shown(tensor.datatype)}."
        )
    elements = read_elements(tensor, data, n_rows)
    if column is None:
        return elements
    if column.nullable and tensor.datatype == BYTES:
        return [one or None for one in elements]
    if column.kind == "integer" and tensor.datatype in FLOATS:
        return [_whole(one) for one in elements]
    return elements


def _whole(value: Element) -> Element:
    """Return a float that is whole as an integer; what is not stays, and is refused by the column."""
    if isinstance(value, float) and value.is_integer() and -(2.0**63) <= value < 2.0**63:
        return int(value)
    return value


def _check_rows(rows: Sequence[object]) -> None:
    failed = [(number, row) for number, row in enumerate(rows) if isinstance(row, RowError)]
    if failed:
        number, row = failed[0]
        raise UnfitRows(
            f"{len(failed):,} of {len(rows):,} rows cannot be read, and none is answered; row {number:,}: "
            f"{row.fields[0].message}"
        )


def _ids(request: InferRequest, n_rows: int) -> Sequence[str] | None:
    ids = None if request.parameters is None else request.parameters.ids
    if isinstance(ids, str):
        try:
            ids = _IDS.decode(ids)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise RefusedRequest(
                f"parameters.ids must be a list of texts, or the JSON of one. Got {shown(str(ids))}."
            ) from None
    if ids is not None:
        check_ids(ids, n_rows)
    return ids
