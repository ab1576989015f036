"""The pointer: which version serves, kept in one file that a replica can read when nothing else is alive."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from raypipe.core.errors import ServingError, StaleEpoch
from raypipe.core.files import LOCAL_DISK, Disk, write_json


@dataclass(frozen=True)
class Canary:
    """A version that answers a part of the rows beside the champion, and the terms of it."""

    version: str
    manifest_sha256: str
    weight: float
    """The part of the rows, in (0, 1)."""
    max_rows: int
    """How many rows all replicas together may give it; from there on the champion answers all."""
    slow_ms: float
    """An answer that takes longer is marked slow."""
    column: str | None = None
    """The column whose value decides who answers; a row's id where there is neither this nor a header."""
    header: str | None = None
    budget: str = ""
    """Names the count of the rows that were spent; those of one name spend together, whatever the epoch."""

    @property
    def is_sticky(self) -> bool:
        return self.column is not None or self.header is not None


@dataclass(frozen=True)
class Pointer:
    """The version that serves, the digest of its manifest, and the epoch that orders moves of the pointer."""

    version: str
    manifest_sha256: str
    epoch: int
    canary: Canary | None = None


_VERSION = re.compile(r"v[0-9]+")
"""Of anything else no folder is opened: `../x` would leave the home."""
_BUDGET = re.compile(r"[a-z0-9_-]{0,120}")


class DamagedPointer(ServingError):
    """The file holds no pointer."""


def read_pointer(path: Path) -> Pointer | None:
    """Return the pointer, or None where no version was released; raises DamagedPointer, ServingError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServingError(f"{path} cannot be read ({error}); give this user read access.") from error
    return _parse(path, data)


def legible_pointer(path: Path) -> Pointer | None:
    """Return the pointer as `read_pointer` does, and None for a damaged one, which a release replaces."""
    try:
        return read_pointer(path)
    except DamagedPointer:
        return None


def write_pointer(path: Path, pointer: Pointer, disk: Disk = LOCAL_DISK) -> None:
    """Move the pointer; raises StaleEpoch unless the epoch is newer than the one that is there."""
    current = legible_pointer(path)
    if current is not None and pointer.epoch <= current.epoch:
        raise StaleEpoch(
            f"the epoch of {path} must grow: it is {current.epoch} (version {current.version}). Got "
            f"{pointer.epoch} for version {pointer.version}; another release was faster, look at the history."
        )
    write_json(path, asdict(pointer), disk)


def _parse(path: Path, data: bytes) -> Pointer:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    match value:
        case {"version": str(version), "manifest_sha256": str(digest), "epoch": int(epoch)} if (
            _VERSION.fullmatch(version)
        ):
            return Pointer(version, digest, epoch, _canary(path, value.get("canary")))
        case _:
            raise _damaged(path, "a version, a manifest_sha256 and an epoch as JSON", repr(data[:80]))


def _canary(path: Path, value: object) -> Canary | None:
    if value is None:
        return None
    try:
        canary = msgspec.convert(value, Canary)
    except msgspec.ValidationError as error:
        raise _damaged(path, f"a canary with its terms ({error})", repr(value)[:80]) from error
    if not _VERSION.fullmatch(canary.version) or not 0 < canary.weight < 1:
        raise _damaged(path, "a canary with a version and a weight between 0 and 1", repr(value)[:80])
    if not _BUDGET.fullmatch(canary.budget):
        raise _damaged(path, "a canary with a budget named by a-z, 0-9, - and _", repr(canary.budget)[:80])
    return canary


def _damaged(path: Path, rule: str, found: str) -> DamagedPointer:
    return DamagedPointer(
        f"{path} must hold {rule}. Got {found}: it was changed by hand or damaged; promote a version to "
        "write it again."
    )
