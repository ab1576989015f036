"""What a job takes along: the config's folder, counted before it is sent, packed the same each time."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from raypipe.core.errors import ConfigError

LIMIT_BYTES = 100 * 2**20
"""The size from which Ray takes no package."""
LEFT_OUT = (
    ".git",
    ".venv",
    "venv",
    ".env",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "node_modules",
)
N_NAMED = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PackedFile:
    """A file of the working directory, by its path in there."""

    path: str
    n_bytes: int


def list_files(folder: Path, exclude: Sequence[str] = ()) -> tuple[PackedFile, ...]:
    """Return the files that a job takes along, in the order of their paths.

    Left out is what is named in LEFT_OUT, or matches a pattern of `exclude`, and all below it. Linked folders
    are not followed.
    """
    return tuple(sorted(_walk(folder, exclude), key=lambda file: file.path))


def require_small(folder: Path, files: Sequence[PackedFile], limit_bytes: int = LIMIT_BYTES) -> None:
    """Raise ConfigError, naming the largest entries of `folder`, where Ray would refuse the files."""
    n_bytes = sum(file.n_bytes for file in files)
    if n_bytes < limit_bytes:
        return
    entries: Counter[str] = Counter()
    for file in files:
        entries[file.path.partition("/")[0]] += file.n_bytes
    largest = ", ".join(f"{name} ({_mib(size)})" for name, size in entries.most_common(N_NAMED))
    raise ConfigError(
        f"the config's folder must have less than {_mib(limit_bytes)} to go along with a job. Got "
        f"{_mib(n_bytes)} in {folder}, most of it in {largest}; leave out what the job does not need with "
        f"--exclude, and put rows where the cluster can read them."
    )


def pack(folder: Path, files: Sequence[PackedFile], target: Path) -> None:
    """Write a zip of the files: the same bytes for the same files, so that Ray knows what it has already."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.path, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = (folder / file.path).stat().st_mode & 0o777
            entry.external_attr = mode << 16
            archive.writestr(entry, (folder / file.path).read_bytes())


def _walk(folder: Path, exclude: Sequence[str]) -> Iterator[PackedFile]:
    for parent, subfolders, names in os.walk(folder):
        inside = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        subfolders[:] = [name for name in subfolders if not _is_left_out(inside / name, exclude)]
        for name in names:
            path = Path(parent) / name
            if path.is_file() and not _is_left_out(inside / name, exclude):
                yield PackedFile(str(inside / name), path.stat().st_size)


def _is_left_out(path: PurePosixPath, exclude: Sequence[str]) -> bool:
    patterns = (*LEFT_OUT, *(pattern.strip("/") for pattern in exclude))
    return any(fnmatch(path.name, pattern) or fnmatch(str(path), pattern) for pattern in patterns)


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"
