"""ONNX files that keep some of their numbers elsewhere: whoever loads one reads whatever path it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from raypipe.core.errors import ArtifactError
from raypipe.core.wire import fields

_Kind: TypeAlias = str
_WITHIN: Mapping[_Kind, Mapping[int, _Kind]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Which fields of which messages of ONNX lead to tensors."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_IR_VERSION = b"\x08"
_MAX_DEPTH = 50


def refuse_elsewhere(place: Path) -> None:
    """Raise ArtifactError where a file, or one of a folder, is ONNX whose numbers lie in other files.

    Told by what the file holds, whatever its name; it is read, and nothing that it names is.
    """
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if not path.is_file() or not (path.suffix == ".onnx" or _begins_like_one(path)):
            continue
        try:
            where = next(_elsewhere("model", memoryview(path.read_bytes())), None)
        except ValueError:
            where = None
            if path.suffix == ".onnx":
                raise ArtifactError(f"{path} must be ONNX, as its name says. These bytes are none.") from None
        if where is not None:
            raise ArtifactError(
                f"{path} is ONNX whose numbers lie in another file ({where!r}); a model version must hold "
                "all of its numbers itself. Nothing was loaded; save it in one file, and register it again."
            )


def _begins_like_one(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == _IR_VERSION


def _elsewhere(kind: _Kind, data: memoryview, depth: int = 0) -> Iterator[str]:
    """Yield where the numbers of a message's tensors lie, of those that are not in it."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    for number, value in fields(data):
        if kind == "tensor":
            if number == _EXTERNAL_DATA and isinstance(value, memoryview):
                yield _text(value)
            elif number == _DATA_LOCATION and value == 1:
                yield "not named"
        elif isinstance(value, memoryview) and number in _WITHIN[kind]:
            yield from _elsewhere(_WITHIN[kind][number], value, depth + 1)


def _text(entry: memoryview) -> str:
    """Return the value of a pair of texts, as it is told."""
    found = [bytes(value) for number, value in fields(entry) if number == 2 and isinstance(value, memoryview)]
    return (found or [b""])[0].decode("utf-8", "replace")[:100]
