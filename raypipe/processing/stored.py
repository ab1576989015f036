"""A transform as files: `transform.json`, Arrow files for long lists in it, skops files for transformers."""

from __future__ import annotations

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError, RaypipeError
from raypipe.core.files import LOCAL_DISK, Disk, storage_errors, write_json
from raypipe.core.ids import Json
from raypipe.processing.transform import FittedTransform

if TYPE_CHECKING:
    import pyarrow as pa

TRANSFORM_NAME = "transform.json"
MAX_INLINE = 1000
"""Longer lists of a step go to a file of their own, which is read faster and shown less."""
_COLUMNS = frozenset({"means"})
_PAIRS = frozenset({"frequencies"})
_STATE = "state"


def write_transform(folder: Path, transform: FittedTransform, disk: Disk = LOCAL_DISK) -> None:
    """Write a transform into a folder; raises StorageError."""
    value = transform.to_json()
    steps = value["steps"]
    assert isinstance(steps, list)
    value["steps"] = [_written(folder, f"step-{i}", step, disk) for i, step in enumerate(steps)]
    write_json(folder / TRANSFORM_NAME, value, disk)


def read_transform(folder: Path) -> FittedTransform:
    """Read what `write_transform` wrote; raises ArtifactError for anything else."""
    path = folder / TRANSFORM_NAME
    try:
        value = json.loads(path.read_bytes())
        steps = [_read(folder, step) for step in value["steps"]]
        return FittedTransform.from_json({**value, "steps": steps})
    except (RaypipeError, OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read as a transform ({error}); restore the folder.") from error


def _written(folder: Path, name: str, step: Mapping[str, Json], disk: Disk) -> dict[str, Json]:
    written: dict[str, Json] = {}
    for key, value in step.items():
        if isinstance(value, Mapping) and key == "of":
            written[key] = _written(folder, name, value, disk)
        elif key == _STATE:
            written[key] = {"file": _write(folder, f"{name}-{key}.skops", b64decode(str(value)), disk)}
        elif isinstance(value, list | tuple) and _length(key, value) > MAX_INLINE:
            data = _arrow_bytes(_lists(key, value))
            written[key] = {"arrow": _write(folder, f"{name}-{key}.arrow", data, disk)}
        else:
            written[key] = value
    return written


def _write(folder: Path, file: str, data: bytes, disk: Disk) -> str:
    with storage_errors(folder / file):
        disk.make_folder(folder)
        disk.write_atomic(folder / file, data)
    return file


def _length(key: str, value: Sequence[Json]) -> int:
    if key not in _COLUMNS:
        return len(value)
    first = value[0]
    return len(first) if isinstance(first, Sequence) else 0


def _lists(key: str, value: Sequence[Json]) -> list[Sequence[Json]]:
    """Return the columns in which a list of values, of pairs, or of columns is kept."""
    nested = [one for one in value if isinstance(one, list | tuple)]
    if key in _COLUMNS:
        return list(nested)
    return list(zip(*nested, strict=True)) if key in _PAIRS else [value]


def _arrow_bytes(lists: Sequence[Sequence[Json]]) -> bytes:
    import pyarrow as pa

    table = pa.table({str(i): pa.array(one) for i, one in enumerate(lists)})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _read(folder: Path, step: Json) -> Json:
    if not isinstance(step, Mapping):
        return step
    read: dict[str, Json] = {}
    for key, value in step.items():
        match value:
            case {"arrow": str(file)}:
                read[key] = _joined(key, _table(folder, file))
            case {"file": str(file)}:
                read[key] = b64encode(_bytes(folder, file)).decode()
            case Mapping() if key == "of":
                read[key] = _read(folder, value)
            case _:
                read[key] = value
    return read


def _joined(key: str, table: pa.Table) -> list[Json]:
    lists: list[list[Json]] = [column.to_pylist() for column in table.columns]
    if key in _COLUMNS:
        return list(lists)
    return [list(pair) for pair in zip(*lists, strict=True)] if key in _PAIRS else lists[0]


def _table(folder: Path, file: str) -> pa.Table:
    import pyarrow as pa

    with pa.ipc.open_file(io.BytesIO(_bytes(folder, file))) as reader:
        return reader.read_all()


def _bytes(folder: Path, file: str) -> bytes:
    if Path(file).name != file:
        raise ArtifactError(f"a file of a transform must lie beside it. Got {file!r}.")
    return (folder / file).read_bytes()
