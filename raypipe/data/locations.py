"""Which files a source's path stands for, and what their bytes are."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import fs

from raypipe.core.errors import ConfigError, SourceError
from raypipe.data.names import suggest
from raypipe.data.sources.config import FileSettings
from raypipe.data.sources.places import masked

_COMPRESSED = ("", ".gz", ".bz2", ".zst")
EXTENSIONS = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".tsv", ".csv.gz", ".csv.bz2", ".csv.zst"),
    "jsonl": tuple(f"{name}{end}" for name in (".jsonl", ".ndjson") for end in _COMPRESSED),
    "text": tuple(f"{name}{end}" for name in (".txt", ".log") for end in _COMPRESSED),
}

_WILDCARD = re.compile(r"[*?\[]")
_READ_BYTES = 4 * 1024 * 1024


def format_by_name(name: str, formats: Collection[str]) -> str | None:
    """Return the format, one of some, that the ending of a name or URL tells; None where it tells none.

    >>> format_by_name("labels.csv.gz", ("csv", "jsonl"))
    'csv'
    """
    path = name.partition("?")[0] if "://" in name else name
    known = {end: format for format, ends in EXTENSIONS.items() for end in ends if format in formats}
    return next((format for end, format in known.items() if path.lower().endswith(end)), None)


@dataclass(frozen=True)
class SourceFile:
    """One file of a source; `stamp` changes when the file is written again."""

    source: FileSettings
    filesystem: fs.FileSystem
    path: str
    n_bytes: int
    stamp: int | None

    def __str__(self) -> str:
        return self.path


def locate(source: FileSettings) -> tuple[SourceFile, ...]:
    """Return the files of a source in sorted order; raises SourceError."""
    try:
        infos = _matches(source)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"path {masked(source.path)!r} of source {source.name} cannot be read: {error}."
        ) from error
    return tuple(_checked(source, filesystem, info) for filesystem, info in infos)


def reopen(source: FileSettings, path: str) -> SourceFile:
    """Return one file of a source by the path that `locate` gave it; raises SourceError."""
    filesystem, _ = _open(_split(source.path)[0], source)
    (info,) = filesystem.get_file_info([path])
    if info.type != fs.FileType.File:
        raise SourceError(f"{path} of source {source.name} is gone; run again to read what is there now.")
    return _checked(source, filesystem, info)


def sha256_of(file: SourceFile) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits; raises SourceError."""
    digest = hashlib.sha256()
    try:
        with file.filesystem.open_input_stream(file.path, compression=None) as stream:
            while chunk := stream.read(_READ_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{file} of source {file.source.name} cannot be read: {error}.") from error
    return digest.hexdigest()


def check_unchanged(file: SourceFile) -> None:
    """Raise SourceError where a file has been written since it was located."""
    (now,) = file.filesystem.get_file_info([file.path])
    if (now.size, now.mtime_ns) != (file.n_bytes, file.stamp):
        raise SourceError(
            f"{file} of source {file.source.name} changed while it was read; "
            "run again once whoever writes it has finished."
        )


def _checked(source: FileSettings, filesystem: fs.FileSystem, info: fs.FileInfo) -> SourceFile:
    if info.size == 0:
        raise SourceError(f"{info.path} of source {source.name} is empty (0 bytes); remove or replace it.")
    return SourceFile(source, filesystem, info.path, info.size, info.mtime_ns)


def _matches(source: FileSettings) -> list[tuple[fs.FileSystem, fs.FileInfo]]:
    base, pattern = _split(source.path)
    filesystem, root = _open(base, source)
    (info,) = filesystem.get_file_info([root])
    if info.type == fs.FileType.File and not pattern:
        return [(filesystem, info)]
    if info.type == fs.FileType.NotFound:
        raise SourceError(f"{root} of source {source.name} does not exist; {_neighbours(filesystem, root)}")
    found = _walk(filesystem, root, pattern, EXTENSIONS[source.format])
    if not found:
        what = f"matches {source.path}" if pattern else f"ends in {' or '.join(EXTENSIONS[source.format])}"
        raise SourceError(
            f"source {source.name} has no file: nothing in {root} {what}; correct the path, or bring files."
        )
    return [(filesystem, file) for file in found]


def _split(path: str) -> tuple[str, str]:
    """Split a path before its first part with a wildcard; in a URL a `?` starts the query, not a wildcard."""
    address, mark, query = path.partition("?") if "://" in path else (path, "", "")
    found = _WILDCARD.search(address)
    if found is None:
        return path, ""
    cut = address.rfind("/", 0, found.start()) + 1
    base = address[:cut].rstrip("/") or ("/" if address.startswith("/") else ".")
    return base + mark + query, address[cut:]


def _open(base: str, source: FileSettings) -> tuple[fs.FileSystem, str]:
    if "://" not in base:
        return fs.LocalFileSystem(), posixpath.normpath(base)
    try:
        filesystem, root = fs.FileSystem.from_uri(base)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"path of source {source.name} must be a path or a URL that pyarrow opens "
            f"(file, s3, gs, abfs, hdfs). Got {masked(source.path)!r}: {error}."
        ) from error
    return filesystem, root


def _walk(
    filesystem: fs.FileSystem, root: str, pattern: str, extensions: tuple[str, ...]
) -> list[fs.FileInfo]:
    recursive = not pattern or "/" in pattern or "**" in pattern
    infos = filesystem.get_file_info(fs.FileSelector(root, recursive=recursive))
    wanted = re.compile(_regex(pattern)) if pattern else None
    prefix = root.rstrip("/") + "/" if root != "." else ""

    def is_wanted(info: fs.FileInfo) -> bool:
        relative = info.path.removeprefix(prefix).removeprefix("./")
        if info.type != fs.FileType.File or _is_hidden(relative):
            return False
        return bool(wanted.fullmatch(relative)) if wanted else info.path.lower().endswith(extensions)

    return sorted(filter(is_wanted, infos), key=lambda info: str(info.path))


def _is_hidden(relative: str) -> bool:
    """Whether a part of the path starts as logs and half-written files of other tools do."""
    return any(part.startswith((".", "_")) for part in relative.split("/"))


def _regex(pattern: str) -> str:
    """Translate a glob; `*` and `?` stay within one folder, `**` spans any number of them."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        known.get(part) or (part.replace("[!", "[^", 1) if part.startswith("[") else re.escape(part))
        for part in parts
        if part
    )


def _neighbours(filesystem: fs.FileSystem, path: str) -> str:
    folder, name = posixpath.split(path)
    selector = fs.FileSelector(folder or ".", allow_not_found=True)
    names = sorted(info.base_name for info in filesystem.get_file_info(selector))
    return suggest(name, names) if names else f"nor does anything else in {folder or '.'}."
