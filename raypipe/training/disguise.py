"""Files that could run code when they are loaded, whatever their names say."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Allowed:
    """What may look like code all the same."""

    files: frozenset[str] = frozenset()
    """Names of files, directly in the folder, that are not looked at."""
    archives_in: str | None = None
    """The folder within which archives may be, if none of their members is a pickle by its name."""


def refuse_code(place: Path, *, allowed: Allowed | None = None) -> None:
    """Raise ArtifactError where a file, or one of a folder, is a pickle or an archive by its first bytes.

    No parser of a model's format runs what it reads; this says of what it would not understand what it is.
    """
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file() and not (allowed and path.name in allowed.files and place in (path, path.parent)):
            for what in _found(path, _is_within(path, place, allowed)):
                raise ArtifactError(
                    f"{path} is {what}: what is loaded must be data that cannot run code (UBJ, safetensors, "
                    "JSON). Nothing of it was loaded; restore the folder, or register the model again."
                )


def _is_within(path: Path, place: Path, allowed: Allowed | None) -> bool:
    return bool(allowed and allowed.archives_in and path.is_relative_to(place / allowed.archives_in))


def _found(path: Path, may_be_archive: bool) -> Iterator[str]:
    with path.open("rb") as file:
        head = file.read(_N_HEAD)
    if _is_pickle(head):
        yield "a Python pickle"
    if not may_be_archive:
        yield from (what for start, what in _ARCHIVES.items() if head.startswith(start))
    elif zipfile.is_zipfile(path) and _has_pickles(path):
        yield "an archive with pickles in it"


def _has_pickles(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith((".pkl", ".pickle", ".joblib")) for name in archive.namelist())


def _is_pickle(head: bytes) -> bool:
    """Tell a pickle of a binary protocol; a safetensors file may begin with the same two bytes.

    That one begins with the length of its header, 8 bytes of which the upper are 0, and the header's brace.
    """
    is_safetensors = head[4:9] == b"\0\0\0\0{"
    if len(head) < 3 or head[0] != 0x80 or head[1] not in _PROTOCOLS or is_safetensors:
        return False
    return head[1] not in _FRAMED or head[2] == _FRAME
