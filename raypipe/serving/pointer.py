"""The pointer: which version serves, kept in one file that a replica can read when nothing else is alive."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from raypipe.core.errors import ServingError, StaleEpoch
from raypipe.core.files import LOCAL_DISK, Disk, write_json


@dataclass(frozen=True)
class Pointer:
    """The version that serves, the digest of its manifest, and the epoch that orders moves of the pointer."""

    version: str
    manifest_sha256: str
    epoch: int


_VERSION = re.compile(r"v[0-9]+")
"""Of anything else no folder is opened: `../x` would leave the home."""


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
            return Pointer(version, digest, epoch)
        case _:
            raise DamagedPointer(
                f"{path} must hold a version, a manifest_sha256 and an epoch as JSON. Got {data[:80]!r}: "
                "it was changed by hand or damaged; promote a version to write it again."
            )
