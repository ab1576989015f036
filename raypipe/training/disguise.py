"""Files that could run code when they are loaded, whatever their names say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from raypipe.core.errors import ArtifactError

_N_HEAD = 16
_PROTOCOLS = range(2, 6)
_FRAMED = range(4, 6)
_FRAME = 0x95
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive, as torch.save writes, with pickles in it",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
}


def refuse_code(place: Path) -> None:
    """Raise ArtifactError where a file, or one of a folder, is a pickle or an archive by its first bytes.

    No parser of a model's format runs what it reads; this says of what it would not understand what it is.
    """
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(_N_HEAD)
            for what in _found(head):
                raise ArtifactError(
                    f"{path} is {what}: what is loaded must be data that cannot run code (UBJ, safetensors, "
                    "JSON). Nothing of it was loaded; restore the folder, or register the model again."
                )


def _found(head: bytes) -> Iterator[str]:
    if _is_pickle(head):
        yield "a Python pickle"
    yield from (what for start, what in _ARCHIVES.items() if head.startswith(start))


def _is_pickle(head: bytes) -> bool:
    """Tell a pickle of a binary protocol; a safetensors file may begin with the same two bytes.

    That one begins with the length of its header, 8 bytes of which the upper are 0, and the header's brace.
    """
    is_safetensors = head[4:9] == b"\0\0\0\0{"
    if len(head) < 3 or head[0] != 0x80 or head[1] not in _PROTOCOLS or is_safetensors:
        return False
    return head[1] not in _FRAMED or head[2] == _FRAME
