from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from raypipe.core.errors import ArtifactError, ServingError
from raypipe.core.home import PipelineHome
from raypipe.serving.pointer import Pointer, write_pointer
from raypipe.serving.swap import RETRY_INTERVAL, LoadedVersion, VersionHolder, load_version
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, seal, tiny_model, write_tiny_version


def release(folder: PipelineHome, version: str, epoch: int, good: float = 0.5) -> Pointer:
    pointer = write_tiny_version(folder, version, epoch, model=tiny_model(good))
    write_pointer(folder.pointer, pointer)
    return pointer


def test_a_newer_epoch_takes_over(folder: PipelineHome, versions: VersionHolder, clock: FakeClock) -> None:
    in_flight = versions.current
    clock.advance(5)
    pointer = release(folder, "v2", 2)
    versions.poll()
    assert versions.current.loaded.pointer == pointer
    assert versions.current.since == clock.now()
    assert versions.refusal is None
    assert in_flight.loaded.pointer.version == "v1"


def test_a_release_is_followed_at_once_or_refused(folder: PipelineHome, versions: VersionHolder) -> None:
    versions.follow(release(folder, "v2", 2))
    assert versions.current.loaded.pointer.version == "v2"
    spoilt = release(folder, "v3", 3)
    (folder.model("v3") / "golden.json").unlink()
    with pytest.raises(ServingError, match=r"v3 was refused, and v2 goes on: .*golden\.json is missing"):
        versions.follow(spoilt)


def test_a_version_that_is_too_slow_is_refused_by_its_fastest_answer(
    folder: PipelineHome, released: Pointer
) -> None:
    def timer(*took_s: float) -> Callable[[], float]:
        moments = iter([at for took in took_s for at in (0.0, took)])
        return lambda: next(moments)

    assert load_version(folder, released, 10.0, timer(0.5, 0.02, 0.009, 0.02, 0.5)).pointer == released
    with pytest.raises(ArtifactError, match=r"v1 must answer a row within 10 ms .*Got 11 ms at its fastest"):
        load_version(folder, released, 10.0, timer(0.5, 0.02, 0.011, 0.02, 0.5))


def test_nothing_is_loaded_while_the_pointer_stands(folder: PipelineHome, released: Pointer) -> None:
    loads: list[Pointer] = []

    def load(pointer: Pointer) -> LoadedVersion:
        loads.append(pointer)
        return load_version(folder, pointer)

    versions = VersionHolder(folder.pointer, load, FakeClock())
    for _ in range(5):
        versions.poll()
    assert loads == [released]
    write_pointer(folder.pointer, Pointer(released.version, released.manifest_sha256, 7))
    versions.poll()
    assert loads == [released], "the same version under a newer epoch is not loaded again"
    assert versions.current.loaded.pointer.epoch == 7


def _truncate_model(folder: PipelineHome) -> None:
    (folder.model("v2") / "model" / "constant.json").write_text("{")


def _remove(folder: PipelineHome) -> None:
    folder.model("v2").rename(folder.models / "elsewhere")


def _answer_otherwise(folder: PipelineHome) -> None:
    tiny_model(0.9).save(folder.model("v2") / "model")
    (folder.model("v2") / "MANIFEST.json").unlink()
    digest = seal(folder, "v2", "constant-json", TINY_TASK)
    write_pointer(folder.pointer, Pointer("v2", digest, 3))


@pytest.mark.parametrize("spoil", [_truncate_model, _remove, _answer_otherwise])
def test_a_version_that_cannot_be_loaded_is_refused_and_the_old_one_stays(
    folder: PipelineHome, versions: VersionHolder, spoil: Callable[[PipelineHome], None]
) -> None:
    release(folder, "v2", 2)
    spoil(folder)
    versions.poll()
    assert versions.current.loaded.pointer.version == "v1"
    assert versions.refusal is not None
    assert versions.refusal.version == "v2"
    assert versions.refusal.message
    assert versions.refusal.to_json()["epoch"] in (2, 3)  # type: ignore[index,call-overload]


def test_a_refusal_ends_with_the_next_version(folder: PipelineHome, versions: VersionHolder) -> None:
    release(folder, "v2", 2)
    _truncate_model(folder)
    versions.poll()
    release(folder, "v3", 3)
    versions.poll()
    assert versions.refusal is None
    assert versions.current.loaded.pointer.version == "v3"


def test_a_refused_version_is_tried_again_later(
    folder: PipelineHome, versions: VersionHolder, clock: FakeClock
) -> None:
    pointer = release(folder, "v2", 2)
    _remove(folder)
    versions.poll()
    (folder.models / "elsewhere").rename(folder.model("v2"))
    versions.poll()
    assert versions.current.loaded.pointer.version == "v1"
    clock.advance(RETRY_INTERVAL.total_seconds())
    versions.poll()
    assert versions.current.loaded.pointer == pointer
    assert versions.refusal is None


def test_an_error_of_any_kind_is_a_refusal(folder: PipelineHome, released: Pointer) -> None:
    def load(pointer: Pointer) -> LoadedVersion:
        if pointer.version == "v2":
            raise MemoryError
        return load_version(folder, pointer)

    versions = VersionHolder(folder.pointer, load, FakeClock())
    release(folder, "v2", 2)
    versions.poll()
    assert versions.refusal is not None
    assert versions.refusal.message == "MemoryError"


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_epoch_that_is_not_newer_is_refused(
    folder: PipelineHome, versions: VersionHolder, epoch: int
) -> None:
    folder.pointer.unlink()
    release(folder, "v2", epoch)
    versions.poll()
    assert versions.current.loaded.pointer.version == "v1"
    assert versions.refusal is not None
    assert versions.refusal.message == f"epoch {epoch} is not newer than 1, which serves."


def test_a_damaged_or_lost_pointer_is_told(folder: PipelineHome, versions: VersionHolder) -> None:
    folder.pointer.write_text("{")
    versions.poll()
    assert versions.refusal is not None
    assert "must hold a version" in versions.refusal.message
    folder.pointer.unlink()
    versions.poll()
    assert versions.refusal.epoch is None
    assert "is gone" in versions.refusal.message
    assert versions.current.loaded.pointer.version == "v1"


def test_without_a_released_version_nothing_starts(folder: PipelineHome, clock: FakeClock) -> None:
    with pytest.raises(ServingError, match=r"no version is released: .*pointer\.json is absent"):
        VersionHolder(folder.pointer, partial(load_version, folder), clock)


def test_a_version_that_cannot_be_loaded_at_the_start_is_said(folder: PipelineHome, clock: FakeClock) -> None:
    release(folder, "v2", 1)
    _truncate_model(folder)
    with pytest.raises(ServingError, match=r"version v2, which .* names, cannot serve: .* is truncated"):
        VersionHolder(folder.pointer, partial(load_version, folder), clock)
