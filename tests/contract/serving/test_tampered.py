"""Whatever was done to a version's folder, it is refused before it is loaded, with a sentence; nothing runs.

Also where whoever changed a file changed its digest in the manifest and the manifest's in the registry.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raypipe.core.errors import ArtifactError, ServingError
from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import sha256_bytes
from raypipe.registry.manifest import MANIFEST_NAME
from raypipe.serving.pointer import DamagedPointer, Pointer, read_pointer, write_pointer
from raypipe.serving.predictor import load_predictor
from raypipe.testing.serving import TINY_TASK, seal, trained_tiny_model, write_tiny_version
from raypipe.training.models import Model

FAMILIES = ("baseline", "linear", "xgboost", "torch")
families = pytest.mark.parametrize("family", FAMILIES)


class Canary:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self._path), "w")


@pytest.fixture(scope="module")
def model() -> Callable[[str], Model]:
    trained: dict[str, Model] = {}
    return lambda family: trained.setdefault(family, trained_tiny_model(family, TINY_TASK))


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path / "home").pipeline("tiny")


@contextmanager
def resealed(folder: PipelineHome, model: Model) -> Iterator[str]:
    """Give the digest of a manifest over what lies there now, until the block ends."""
    manifest = folder.model("v1") / MANIFEST_NAME
    before = manifest.read_bytes()
    yield seal(folder, "v1", model.format)
    manifest.write_bytes(before)


@families
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_in_disguise_never_runs(
    folder: PipelineHome, family: str, protocol: int, model: Callable[[str], Model], tmp_path: Path
) -> None:
    pointer = write_tiny_version(folder, "v1", 1, model=model(family))
    place, canary = folder.model("v1"), tmp_path / "sang"
    files = [path for path in place.rglob("*") if path.is_file() and path.name != MANIFEST_NAME]
    assert len(files) >= 3
    for path in files:
        good = path.read_bytes()
        path.write_bytes(pickle.dumps(Canary(canary), protocol))
        with pytest.raises(ArtifactError, match=path.name) as caught:
            load_predictor(place, pointer.manifest_sha256)
        assert "it must have" in str(caught.value) or "was changed" in str(caught.value)
        with resealed(folder, model(family)) as digest, pytest.raises(ArtifactError) as caught:
            load_predictor(place, digest)
        assert str(place) in str(caught.value) and "\n" not in str(caught.value)
        if protocol and path.parent != place:
            assert f"{path} is a Python pickle" in str(caught.value)
        path.write_bytes(good)
    assert not canary.exists()
    load_predictor(place, pointer.manifest_sha256)
    pickle.loads(pickle.dumps(Canary(canary), protocol)).close()
    assert canary.exists(), "the canary must be able to sing"


@families
@pytest.mark.parametrize("other", FAMILIES)
def test_a_file_of_another_family_is_refused(
    folder: PipelineHome, family: str, other: str, model: Callable[[str], Model]
) -> None:
    if family == other:
        return
    write_tiny_version(folder, "v1", 1, model=model(family))
    write_tiny_version(folder, "v2", 2, model=model(other))
    foreign = next(iter(sorted((folder.model("v2") / "model").iterdir())))
    for path in (folder.model("v1") / "model").iterdir():
        path.write_bytes(foreign.read_bytes())
    with resealed(folder, model(family)) as digest, pytest.raises(ArtifactError, match="v1"):
        load_predictor(folder.model("v1"), digest)


@families
@pytest.mark.parametrize("left", [0.0, 0.5, 0.9])
def test_a_truncated_file_is_refused(
    folder: PipelineHome, family: str, left: float, model: Callable[[str], Model]
) -> None:
    pointer = write_tiny_version(folder, "v1", 1, model=model(family))
    for path in (folder.model("v1") / "model").iterdir():
        good = path.read_bytes()
        path.write_bytes(good[: int(len(good) * left)])
        with pytest.raises(ArtifactError, match=f"{path.name} is truncated: it must have {len(good)} bytes"):
            load_predictor(folder.model("v1"), pointer.manifest_sha256)
        with resealed(folder, model(family)) as digest, pytest.raises(ArtifactError):
            load_predictor(folder.model("v1"), digest)
        path.write_bytes(good)


@families
@pytest.mark.parametrize("name", [None, "model.onnx"])
def test_onnx_with_numbers_in_another_file_is_refused_and_the_file_not_opened(
    folder: PipelineHome, family: str, name: str | None, model: Callable[[str], Model], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    outside = tmp_path / "outside.bin"
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=1)
    tensor.external_data.add(key="location", value=os.path.relpath(outside, folder.model("v1") / "model"))
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[tensor])
    write_tiny_version(folder, "v1", 1, model=model(family))
    place = folder.model("v1")
    here = next(iter(sorted((place / "model").iterdir())))
    (here if name is None else here.with_name(name)).write_bytes(
        onnx.helper.make_model(graph).SerializeToString()
    )
    os.mkfifo(outside)  # Whoever opened it would wait for ever.
    with (
        resealed(folder, model(family)) as digest,
        pytest.raises(ArtifactError, match=r"is ONNX whose numbers lie in another file \(.*outside\.bin'\)"),
    ):
        load_predictor(place, digest)


@pytest.mark.parametrize("path", ["../outside.json", "{outside}", "model/../../outside.json", "..", "a//b"])
def test_a_manifest_that_points_outside_its_folder_is_refused(
    folder: PipelineHome, path: str, model: Callable[[str], Model]
) -> None:
    write_tiny_version(folder, "v1", 1, model=model("linear"))
    place = folder.model("v1")
    outside = place.parent / "outside.json"
    outside.write_text("{}")
    manifest = json.loads((place / MANIFEST_NAME).read_bytes())
    digest = {"sha256": sha256_bytes(b"{}"), "n_bytes": 2}
    manifest["files"][path.format(outside=outside)] = digest
    data = json.dumps(manifest).encode()
    (place / MANIFEST_NAME).write_bytes(data)
    with pytest.raises(ArtifactError, match="must lie inside the version's folder"):
        load_predictor(place, sha256_bytes(data))


@pytest.mark.parametrize("name", ["model", "model/model.json", "transform.json", MANIFEST_NAME])
def test_a_link_in_place_of_a_file_is_refused(
    folder: PipelineHome, name: str, model: Callable[[str], Model]
) -> None:
    """It leads to the very bytes that were registered, which somebody could change after they were proven."""
    pointer = write_tiny_version(folder, "v1", 1, model=model("linear"))
    path = folder.model("v1") / name
    elsewhere = folder.root / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(ArtifactError, match="is a symbolic link, which a model version may not hold"):
        load_predictor(folder.model("v1"), pointer.manifest_sha256)


@pytest.mark.parametrize("version", ["../v1", "/v1", "", "v", "v1/..", "v1\n"])
def test_a_pointer_to_no_version_opens_no_folder(folder: PipelineHome, version: str) -> None:
    folder.root.mkdir(parents=True)
    write_pointer(folder.pointer, Pointer(version, "0" * 64, 1))
    with pytest.raises(DamagedPointer, match="promote a version to write it again") as caught:
        read_pointer(folder.pointer)
    assert isinstance(caught.value, ServingError)
