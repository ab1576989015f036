"""Writing files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from raypipe.core.errors import StorageError
from raypipe.core.ids import Json

_SENTENCES = {
    errno.ENOSPC: "the disk is full; free some space, or set `home` to a larger disk",
    errno.EDQUOT: "the disk quota is used up; free some space, or set `home` elsewhere",
    errno.EFBIG: "the file would exceed the size limit of this process or file system; raise the limit",
    errno.EACCES: "permission denied; give this user write access, or set `home` elsewhere",
    errno.EPERM: "permission denied; give this user write access, or set `home` elsewhere",
    errno.EROFS: "the file system is read-only; set `home` to a folder that can be written",
    errno.ENOTDIR: "a part of the path is a file, not a folder; set `home` elsewhere",
    errno.EEXIST: "a file stands where a folder is needed; remove it, or set `home` elsewhere",
}
_TEXTS = {
    "No space left on device": errno.ENOSPC,
    "os error 28": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "database or disk is full": errno.ENOSPC,
    "Permission denied": errno.EACCES,
    "Read-only file system": errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}


class Disk(Protocol):
    """The few writes that raypipe does itself; `raypipe.testing.FailingDisk` refuses them on demand."""

    def make_folder(self, path: Path) -> None:
        """Create `path` and its parents where absent."""
        ...

    def write_atomic(self, path: Path, data: bytes) -> None:
        """Replace `path` by `data`: a reader, or a power cut, meets the old bytes or the new."""
        ...


class LocalDisk:
    """A file system of this machine."""

    def make_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def write_atomic(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)


LOCAL_DISK = LocalDisk()


def fsync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_durable_folder(path: Path) -> None:
    """Create a folder and its parents where absent, so that their names survive a power cut."""
    if path.is_dir():
        return
    make_durable_folder(path.parent)
    path.mkdir(exist_ok=True)
    fsync_folder(path.parent)


def fsync_tree(path: Path) -> None:
    """Make every file and name below a folder survive a power cut."""
    for place, _, files in os.walk(path):
        for name in files:
            with (Path(place) / name).open("rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(place))


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system or a library says of a failed write into a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        number = _errno_of(error)
        if number is None:
            raise
        raise StorageError(f"{path} cannot be written: {_SENTENCES[number]}.") from error


def _errno_of(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno in _SENTENCES:
        return error.errno
    text = str(error)
    return next((number for fragment, number in _TEXTS.items() if fragment in text), None)


def write_json(path: Path, value: Json, disk: Disk = LOCAL_DISK) -> None:
    """Write `value` as readable JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with storage_errors(path):
        disk.make_folder(path.parent)
        disk.write_atomic(path, text.encode() + b"\n")


def inside(folder: Path, relative: str) -> Path:
    """Return `folder/relative`, refusing a path that leaves `folder` by `..`, an absolute path or a link."""
    target = (folder / relative).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise StorageError(f"{relative!r} points outside its folder {folder}.")
    return target
