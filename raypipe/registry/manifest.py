"""What a model version consists of, file by file, so that nothing else is ever loaded in its place."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TypeVar

from raypipe.core.errors import ArtifactError
from raypipe.core.files import LOCAL_DISK, Disk, storage_errors
from raypipe.core.ids import Json, sha256_bytes, sha256_file

MANIFEST_NAME = "MANIFEST.json"
MANIFEST_FORMAT = 1
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

_T = TypeVar("_T")


@dataclass(frozen=True)
class FileDigest:
    """What a file's bytes must be."""

    sha256: str
    n_bytes: int


@dataclass(frozen=True)
class ManifestDraft:
    """What the maker of a model knows before the registry gives it a version."""

    pipeline: str
    data_version: str
    run: str
    task: Json
    family: str
    format: str
    params: Mapping[str, Json]
    metrics: Json
    frameworks: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """A model version: where it came from, what it is, and the digest of each of its files.

    `files` maps paths relative to the version's folder, with `/` between parts, to digests.
    """

    pipeline: str
    version: str
    created_at: datetime
    data_version: str
    run: str
    task: Json
    family: str
    format: str
    params: Mapping[str, Json]
    metrics: Json
    frameworks: Mapping[str, str]
    files: Mapping[str, FileDigest]

    @property
    def draft(self) -> ManifestDraft:
        """Return what its maker knew."""
        return ManifestDraft(**{one.name: getattr(self, one.name) for one in fields(ManifestDraft)})

    def to_json(self) -> Json:
        """Return the manifest as it is written to MANIFEST.json."""
        return {
            "manifest_format": MANIFEST_FORMAT,
            "pipeline": self.pipeline,
            "version": self.version,
            "created_at": self.created_at.isoformat(),
            "data_version": self.data_version,
            "run": self.run,
            "task": self.task,
            "family": self.family,
            "format": self.format,
            "params": dict(self.params),
            "metrics": self.metrics,
            "frameworks": dict(self.frameworks),
            "files": {
                path: {"sha256": digest.sha256, "n_bytes": digest.n_bytes}
                for path, digest in self.files.items()
            },
        }

    @classmethod
    def from_json(cls, value: Json) -> Manifest:
        """Read a manifest; raises ArtifactError for an unknown format, a lacking field or an unsafe path."""
        fields = _mapping(value, "the manifest")
        found = fields.get("manifest_format")
        if found != MANIFEST_FORMAT:
            raise ArtifactError(
                f"the manifest must have manifest_format {MANIFEST_FORMAT}. Got {found!r}: "
                f"another version of raypipe wrote it; use that version, or register the model again."
            )
        return cls(
            pipeline=_field(fields, "pipeline", str),
            version=_field(fields, "version", str),
            created_at=_time(_field(fields, "created_at", str)),
            data_version=_field(fields, "data_version", str),
            run=_field(fields, "run", str),
            task=fields.get("task"),
            family=_field(fields, "family", str),
            format=_field(fields, "format", str),
            params=_mapping(fields.get("params"), "params"),
            metrics=fields.get("metrics"),
            frameworks={
                name: _is(version, str, f"frameworks.{name}")
                for name, version in _mapping(fields.get("frameworks"), "frameworks").items()
            },
            files=_files(_mapping(fields.get("files"), "files")),
        )


def digest_files(folder: Path) -> dict[str, FileDigest]:
    """Return the digest of each file below `folder`; raises ArtifactError for a link or a special file."""
    return {
        path: FileDigest(sha256_file(folder / path), (folder / path).stat().st_size)
        for path in sorted(_paths(folder))
        if path != MANIFEST_NAME
    }


def write_manifest(
    folder: Path,
    draft: ManifestDraft,
    *,
    version: str,
    created_at: datetime,
    files: Mapping[str, FileDigest] | None = None,
    disk: Disk = LOCAL_DISK,
) -> str:
    """Write MANIFEST.json over all files of `folder` and return its SHA-256, which the registry records.

    `files` are their digests where they are known already. Raises ArtifactError for a link or special file.
    """
    manifest = Manifest(
        pipeline=draft.pipeline,
        version=version,
        created_at=created_at,
        data_version=draft.data_version,
        run=draft.run,
        task=draft.task,
        family=draft.family,
        format=draft.format,
        params=draft.params,
        metrics=draft.metrics,
        frameworks=draft.frameworks,
        files=digest_files(folder) if files is None else files,
    )
    data = (json.dumps(manifest.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    with storage_errors(folder / MANIFEST_NAME):
        disk.write_atomic(folder / MANIFEST_NAME, data)
    return sha256_bytes(data)


def read_manifest(folder: Path, manifest_sha256: str) -> Manifest:
    """Return the manifest of a version's folder after checking the digest of MANIFEST.json alone."""
    path = folder / MANIFEST_NAME
    data = _manifest_bytes(folder, path)
    digest = sha256_bytes(data)
    if digest != manifest_sha256:
        raise ArtifactError(
            f"{path} must have the SHA-256 {manifest_sha256} that the registry recorded. Got {digest}: "
            f"it was changed; restore the folder, or serve another version."
        )
    try:
        return Manifest.from_json(json.loads(data))
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None
    except ValueError as error:
        raise ArtifactError(f"{path} must be JSON; it cannot be read ({error}).") from error


def verify(folder: Path, manifest_sha256: str) -> Manifest:
    """Return the manifest of a version's folder after proving that the folder is what was registered.

    Raises ArtifactError for a digest that differs, a file that is missing, extra, truncated or changed,
    a link or special file, and a path that leaves the folder.
    """
    try:
        return _verified(folder, read_manifest(folder, manifest_sha256))
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder} was removed while it was read ({error}).") from error


def _verified(folder: Path, manifest: Manifest) -> Manifest:
    found = set(_paths(folder)) - {MANIFEST_NAME}
    for path in sorted(manifest.files.keys() - found):
        raise ArtifactError(f"{folder / path} is missing, which {MANIFEST_NAME} lists; restore the folder.")
    for path in sorted(found - manifest.files.keys()):
        raise ArtifactError(f"{folder / path} is not listed in {MANIFEST_NAME}; remove it.")
    for path, expected in manifest.files.items():
        _check(folder / path, expected)
    return manifest


def _check(path: Path, expected: FileDigest) -> None:
    n_bytes = path.stat().st_size
    if n_bytes != expected.n_bytes:
        state = "truncated" if n_bytes < expected.n_bytes else "longer than registered"
        raise ArtifactError(
            f"{path} is {state}: it must have {expected.n_bytes} bytes. Got {n_bytes}; restore the folder."
        )
    digest = sha256_file(path)
    if digest != expected.sha256:
        raise ArtifactError(
            f"{path} was changed: its SHA-256 must be {expected.sha256}. Got {digest}; restore the folder."
        )


def _manifest_bytes(folder: Path, path: Path) -> bytes:
    for place in (folder, path):
        if place.is_symlink():
            raise ArtifactError(
                f"{place} is a symbolic link, which a model version may not hold; copy the files."
            )
    if not path.is_file():
        raise ArtifactError(
            f"{folder} holds no {MANIFEST_NAME}, so it is no model version; restore the folder."
        )
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ArtifactError(
            f"{path} must have at most {MAX_MANIFEST_BYTES} bytes. Got {path.stat().st_size}."
        )
    return path.read_bytes()


def _paths(folder: Path) -> Iterator[str]:
    """Yield the path of each regular file below `folder`, refusing links and special files."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise ArtifactError(
                    f"{path} is a symbolic link, which a model version may not hold; copy the file."
                )
            if stat.S_ISREG(mode):
                yield path.relative_to(folder).as_posix()
            elif not stat.S_ISDIR(mode):
                raise ArtifactError(
                    f"{path} is neither a file nor a folder, which a model version may not hold."
                )


def _files(entries: Mapping[str, Json]) -> dict[str, FileDigest]:
    files = {}
    for path, entry in entries.items():
        _refuse_unsafe(path)
        fields = _mapping(entry, f"files.{path}")
        files[path] = FileDigest(_field(fields, "sha256", str), _field(fields, "n_bytes", int))
    return files


def _refuse_unsafe(path: str) -> None:
    pure = PurePosixPath(path)
    safe = bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and str(pure) == path
    if not safe or "\\" in path or path == MANIFEST_NAME:
        raise ArtifactError(
            f"a file of a manifest must lie inside the version's folder. Got the path {path!r}."
        )


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ArtifactError(f"created_at must be an ISO 8601 time. Got {text!r}.") from None
    if time.tzinfo is None:
        raise ArtifactError(f"created_at must name its time zone. Got {text!r}.")
    return time


def _mapping(value: Json, what: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ArtifactError(f"{what} must be an object. Got {type(value).__name__}.")
    return value


def _field(fields: Mapping[str, Json], name: str, kind: type[_T]) -> _T:
    return _is(fields.get(name), kind, name)


def _is(value: object, kind: type[_T], name: str) -> _T:
    if not isinstance(value, kind):
        raise ArtifactError(f"{name} must be {kind.__name__}. Got {value!r}.")
    return value
