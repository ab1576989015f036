"""A manifest is what it was, and a folder that is not what it says is refused with a sentence."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ArtifactError, StorageError
from raypipe.core.ids import Json, sha256_bytes
from raypipe.registry.manifest import (
    MANIFEST_NAME,
    FileDigest,
    Manifest,
    ManifestDraft,
    read_manifest,
    verify,
    write_manifest,
)
from raypipe.testing import FailingDisk

DRAFT = ManifestDraft(
    pipeline="flights",
    data_version="d-0123456789ab",
    run="r-1",
    task={"kind": "regression", "label": "delay"},
    family="xgboost",
    format="xgboost-ubj",
    params={"eta": 0.3, "depth": 6},
    metrics={"mae": 1.5},
    frameworks={"xgboost": "3.2.0"},
)
AT = datetime(2026, 1, 1, tzinfo=UTC)
PART = st.text("abcdefgh._- é", min_size=1, max_size=8).filter(lambda part: part not in (".", ".."))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "v1"
    (root / "model").mkdir(parents=True)
    (root / "transform.json").write_text("{}")
    (root / "model" / "model.ubj").write_bytes(b"0123456789")
    return root


@pytest.fixture
def digest(folder: Path) -> str:
    return write_manifest(folder, DRAFT, version="v1", created_at=AT)


def rewrite(folder: Path, **changes: Json) -> str:
    """Change fields of the written manifest and return its new digest, as one with access to both could."""
    path = folder / MANIFEST_NAME
    data = json.dumps({**json.loads(path.read_text()), **changes}).encode()
    path.write_bytes(data)
    return sha256_bytes(data)


def test_what_was_written_verifies(folder: Path, digest: str) -> None:
    manifest = verify(folder, digest)
    assert manifest.version == "v1"
    assert manifest.created_at == AT
    assert set(manifest.files) == {"transform.json", "model/model.ubj"}
    assert manifest.files["model/model.ubj"].n_bytes == 10


def test_equal_folders_have_equal_digests(folder: Path, digest: str, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / MANIFEST_NAME).unlink()
    assert write_manifest(copy, DRAFT, version="v1", created_at=AT) == digest


@given(
    files=st.dictionaries(
        st.lists(PART, min_size=1, max_size=3).map("/".join).filter(lambda path: path != MANIFEST_NAME),
        st.builds(FileDigest, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 2**40)),
        max_size=4,
    ),
    params=st.dictionaries(st.text(), JSON, max_size=4),
    metrics=JSON,
)
def test_json_round_trip(files: dict[str, FileDigest], params: dict[str, Json], metrics: Json) -> None:
    manifest = Manifest(
        "p", "v3", AT, "d-1", "r-1", {"kind": "x"}, "f", "g", params, metrics, {"a": "1"}, files
    )
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_missing_file(folder: Path, digest: str) -> None:
    (folder / "transform.json").unlink()
    with pytest.raises(ArtifactError, match=r"transform\.json is missing"):
        verify(folder, digest)


def test_extra_file(folder: Path, digest: str) -> None:
    (folder / "model" / "run.py").write_text("")
    with pytest.raises(ArtifactError, match=r"model/run\.py is not listed"):
        verify(folder, digest)


def test_truncated_file(folder: Path, digest: str) -> None:
    (folder / "model" / "model.ubj").write_bytes(b"01234")
    with pytest.raises(ArtifactError, match=r"truncated: it must have 10 bytes\. Got 5"):
        verify(folder, digest)


def test_grown_file(folder: Path, digest: str) -> None:
    (folder / "model" / "model.ubj").write_bytes(b"0123456789!")
    with pytest.raises(ArtifactError, match="longer than registered"):
        verify(folder, digest)


def test_changed_file_of_equal_size(folder: Path, digest: str) -> None:
    (folder / "model" / "model.ubj").write_bytes(b"0123456780")
    with pytest.raises(ArtifactError, match="was changed: its SHA-256 must be"):
        verify(folder, digest)


def test_changed_manifest(folder: Path, digest: str) -> None:
    rewrite(folder, family="torch")
    with pytest.raises(ArtifactError, match="that the registry recorded"):
        verify(folder, digest)


def test_absent_manifest(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no MANIFEST"):
        verify(folder, "0" * 64)


@pytest.mark.parametrize("name", ["transform.json", "model", MANIFEST_NAME])
def test_symbolic_link(folder: Path, digest: str, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="symbolic link"):
        verify(folder, digest)


def test_linked_folder(folder: Path, digest: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ArtifactError, match="symbolic link"):
        verify(tmp_path / "link", digest)


def test_special_file(folder: Path, digest: str) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ArtifactError, match="neither a file nor a folder"):
        verify(folder, digest)


def test_links_are_refused_when_writing(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "transform.json")
    with pytest.raises(ArtifactError, match="symbolic link"):
        write_manifest(folder, DRAFT, version="v1", created_at=AT)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a/./b", "", ".", "a\\b", "a//b", MANIFEST_NAME]
)
def test_path_that_leaves_the_folder(folder: Path, digest: str, path: str) -> None:
    changed = rewrite(folder, files={path: {"sha256": "0" * 64, "n_bytes": 1}})
    with pytest.raises(ArtifactError, match="must lie inside the version's folder"):
        verify(folder, changed)


@pytest.mark.parametrize("number", [None, 0, 2, "1"])
def test_unknown_format(folder: Path, digest: str, number: Json) -> None:
    changed = rewrite(folder, manifest_format=number)
    with pytest.raises(ArtifactError, match="must have manifest_format 1"):
        verify(folder, changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", 3),
        ("created_at", "yesterday"),
        ("created_at", "2026-01-01T00:00:00"),
        ("params", []),
        ("files", {"a": {"sha256": 1, "n_bytes": 1}}),
        ("frameworks", {"xgboost": None}),
    ],
)
def test_field_of_another_type(folder: Path, digest: str, field: str, value: Json) -> None:
    changed = rewrite(folder, **{field: value})
    with pytest.raises(ArtifactError, match=r"must (be|name)"):
        verify(folder, changed)


def test_manifest_that_is_no_json(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_bytes(b"{")
    with pytest.raises(ArtifactError, match="must be JSON"):
        read_manifest(folder, sha256_bytes(b"{"))


def test_full_disk(folder: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        write_manifest(folder, DRAFT, version="v1", created_at=AT, disk=FailingDisk())
    assert not (folder / MANIFEST_NAME).exists()


def test_a_folder_that_goes_while_it_is_read(
    folder: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from raypipe.registry import manifest

    def gone(path: Path, expected: FileDigest) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        path.stat()

    monkeypatch.setattr(manifest, "_check", gone)
    with pytest.raises(ArtifactError, match="was removed while it was read"):
        verify(folder, digest)
