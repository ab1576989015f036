"""The registry on each driver: what is written is read back, in order, and refusals say why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.core.errors import ConfigError, RegistryError, StaleEpoch, StorageError, UnknownVersion
from raypipe.data.versions import Change, DataVersion, Erasure
from raypipe.registry.manifest import ManifestDraft, verify
from raypipe.registry.store import Registry
from raypipe.registry.values import AliasChange
from raypipe.testing import FailingDisk, FakeClock
from raypipe.testing.data import example_fragment

Stage = Callable[[str], Path]


def register(registry: Registry, stage: Stage, models: Path, draft: ManifestDraft, content: str) -> str:
    return registry.register("p", stage(content), models, draft).version


def test_a_registry_that_does_not_exist_is_empty(registry: Registry) -> None:
    assert registry.pipelines() == ()
    assert registry.history("p") == ()
    assert registry.model_versions("p") == ()
    assert registry.data_version("p", "d-1") is None
    assert registry.alias("p", "champion") is None
    assert registry.epoch("p") == 0


def test_data_versions_newest_first_and_known_by_content(
    registry: Registry, data_version: DataVersion, clock: FakeClock
) -> None:
    second = replace(data_version, id="d-2", parent="d-1")
    assert registry.add_data_version("p", data_version)
    clock.advance(-3600)
    assert registry.add_data_version("p", second)
    assert not registry.add_data_version("p", replace(data_version, table_version=9))
    assert registry.data_versions("p") == (second, data_version)
    assert registry.data_version("p", "d-1") == data_version
    assert registry.data_version("q", "d-1") is None
    assert [entry.kind for entry in registry.history("p")] == ["data_version_added"] * 2


def test_what_became_of_versions_is_recorded_as_one(
    registry: Registry, data_version: DataVersion, clock: FakeClock
) -> None:
    second = replace(data_version, id="d-2", fragments=(*data_version.fragments, example_fragment(id="f-2")))
    registry.add_data_version("p", data_version)
    registry.add_data_version("p", second)
    smaller = example_fragment(n_kept=990, n_erased=10)
    mark = Erasure("e-1", clock.now(), 10, "asked to")
    first = replace(data_version, n_rows=990, erased=(mark,), fragments=(smaller,))
    gone = replace(second, removed_at=clock.now(), fragments=())
    change = Change("rows_erased", "e-1", {"n_rows": 10}, (first, gone), (smaller,), ("f-2",))
    registry.change_data("p", change)
    assert registry.data_versions("p") == (gone, first)
    assert registry.fragments("p") == (smaller,)
    entry = registry.history("p")[0]
    assert (entry.kind, entry.subject, entry.detail) == ("rows_erased", "e-1", {"n_rows": 10})


def test_a_removed_version_that_is_made_again_is_the_newest(
    registry: Registry, data_version: DataVersion, clock: FakeClock
) -> None:
    mark = Erasure("e-1", clock.now(), 10, "asked to")
    registry.add_data_version("p", replace(data_version, erased=(mark,)))
    registry.add_data_version("p", replace(data_version, id="d-2"))
    gone = replace(data_version, erased=(mark,), removed_at=clock.now(), fragments=())
    registry.change_data("p", Change("data_version_removed", "d-1", None, (gone,), (), ()))
    assert registry.add_data_version("p", data_version)
    assert [one.id for one in registry.data_versions("p")] == ["d-1", "d-2"]
    assert registry.data_version("p", "d-1") == replace(data_version, erased=(mark,))


def test_register_moves_the_folder_and_records_its_digest(
    registry: Registry, stage: Stage, models: Path, draft: ManifestDraft, clock: FakeClock
) -> None:
    staged = stage("a")
    version = registry.register("p", staged, models, draft)
    assert version.version == "v1"
    assert not staged.exists()
    manifest = verify(models / "v1", version.manifest_sha256)
    assert (manifest.version, manifest.created_at, manifest.data_version) == ("v1", clock.now(), "d-1")
    assert registry.model_version("p", "v1") == version
    assert version.metrics == {"mae": 1.0}


def test_versions_count_up(registry: Registry, stage: Stage, models: Path, draft: ManifestDraft) -> None:
    assert [register(registry, stage, models, draft, name) for name in "abc"] == ["v1", "v2", "v3"]
    assert [version.version for version in registry.model_versions("p")] == ["v3", "v2", "v1"]


@pytest.mark.parametrize("version", ["v9", "9", "v0", "v01", "latest", ""])
def test_unknown_version(
    registry: Registry, stage: Stage, models: Path, draft: ManifestDraft, version: str
) -> None:
    register(registry, stage, models, draft, "a")
    with pytest.raises(UnknownVersion, match=r"\(v1\)\. Got"):
        registry.model_version("p", version)
    with pytest.raises(UnknownVersion):
        registry.set_alias("p", "champion", version)


def test_an_unknown_version_on_an_empty_registry(registry: Registry) -> None:
    with pytest.raises(UnknownVersion, match="none yet"):
        registry.set_alias("p", "champion", "v1")
    assert registry.next_epoch("p") == 1


def test_draft_of_another_pipeline(
    registry: Registry, stage: Stage, models: Path, draft: ManifestDraft
) -> None:
    with pytest.raises(RegistryError, match="the draft's pipeline must be 'q'"):
        registry.register("q", stage("a"), models, draft)


def test_a_full_disk_registers_nothing(
    url: str, clock: FakeClock, stage: Stage, models: Path, draft: ManifestDraft
) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        Registry(url, clock, disk=FailingDisk()).register("p", stage("a"), models, draft)
    healthy = Registry(url, clock)
    assert healthy.model_versions("p") == ()
    assert register(healthy, stage, models, draft, "b") == "v1"


def test_an_orphan_folder_is_set_aside_and_said(
    registry: Registry, stage: Stage, models: Path, draft: ManifestDraft
) -> None:
    (models / "v1").mkdir(parents=True)
    (models / "v1" / "half").write_text("")
    version = registry.register("p", stage("a"), models, draft)
    verify(models / "v1", version.manifest_sha256)
    assert (models / "orphan-v1-1" / "half").exists()
    assert [entry.kind for entry in registry.history("p")] == ["model_registered", "orphan_set_aside"]


def test_aliases_move_under_growing_epochs(
    registry: Registry, stage: Stage, models: Path, draft: ManifestDraft, clock: FakeClock
) -> None:
    for name in "ab":
        register(registry, stage, models, draft, name)
    first = registry.set_alias("p", "champion", "v1", expected=None, reason="first")
    second = registry.set_alias("p", "champion", "v2", expected="v1")
    assert first == AliasChange("p", "champion", "v1", None, 1, "first", clock.now())
    assert (second.previous, second.epoch) == ("v1", 2)
    registry.set_alias("p", "last_good", "v1")
    assert registry.alias("p", "champion") == "v2"
    assert registry.aliases("p") == {"champion": "v2", "last_good": "v1"}
    assert registry.alias_history("p", "champion") == (second, first)
    moved = registry.history("p", 1)[0]
    assert (moved.kind, moved.subject) == ("alias_moved", "last_good")


@pytest.mark.parametrize("expected", [None, "v1"])
def test_a_writer_that_was_overtaken_is_told(
    registry: Registry, stage: Stage, models: Path, draft: ManifestDraft, expected: str | None
) -> None:
    for name in "ab":
        register(registry, stage, models, draft, name)
    registry.set_alias("p", "champion", "v2")
    before = registry.history("p")
    with pytest.raises(StaleEpoch, match="Got v2: another writer moved it"):
        registry.set_alias("p", "champion", "v1", expected=expected)
    assert registry.alias("p", "champion") == "v2"
    assert registry.history("p") == before


def test_epochs_grow_and_are_fenced(registry: Registry) -> None:
    assert [registry.next_epoch("p") for _ in range(3)] == [1, 2, 3]
    assert registry.next_epoch("q") == 1
    assert registry.next_epoch("p", after=3) == 4
    with pytest.raises(StaleEpoch, match=r"must still be 3\. Got 4"):
        registry.next_epoch("p", after=3)
    assert registry.epoch("p") == 4


def test_a_controller_that_was_replaced_writes_nothing(
    registry: Registry, url: str, clock: FakeClock, stage: Stage, models: Path, draft: ManifestDraft
) -> None:
    for name in "ab":
        register(registry, stage, models, draft, name)
    old = registry.take_over("p")
    registry.append("p", "event.x", "s", None, controller=old)
    registry.set_alias("p", "champion", "v1", controller=old)
    new = Registry(url, clock, mounts=lambda: "").take_over("p")
    before = registry.history("p")
    with pytest.raises(StaleEpoch, match=f"has epoch {new}. Got a write of the one with {old}"):
        registry.append("p", "event.x", "s", None, controller=old)
    with pytest.raises(StaleEpoch, match="another has taken over"):
        registry.set_alias("p", "champion", "v2", expected="v1", controller=old)
    assert (registry.history("p"), registry.alias("p", "champion")) == (before, "v1")
    assert registry.epoch("p") == new
    registry.set_alias("p", "champion", "v2", controller=new)
    registry.set_alias("p", "champion", "v1", reason="a person is no controller")
    registry.append("q", "event.x", "s", None, controller=1)


def test_the_ledger_counts_from_one_whatever_the_clock_does(registry: Registry, clock: FakeClock) -> None:
    registry.append("p", "noted", "a", {"x": [1, None, "é"]})
    clock.advance(-60)
    registry.append("p", "noted", "b", None)
    entries = registry.history("p")
    assert [(entry.seq, entry.subject) for entry in entries] == [(2, "b"), (1, "a")]
    assert entries[1].detail == {"x": [1, None, "é"]}
    assert entries[0].at < entries[1].at
    assert registry.history("p", 1) == entries[:1]
    assert registry.history("p", None) == entries
    assert registry.history("p", None, after_seq=entries[-1].seq) == entries[:-1]
    assert registry.history("p", 1, after_seq=entries[0].seq) == ()


def test_runs(registry: Registry, clock: FakeClock) -> None:
    with pytest.raises(RegistryError, match="must have started before it ends"):
        registry.end_run("p", "r-1", "failed", {})
    registry.start_run("p", "r-1", {"data": "d-1"})
    registry.end_run("p", "r-1", "failed", {"error": "x"})
    clock.advance(5)
    registry.start_run("p", "r-1", {})
    registry.end_run("p", "r-1", "succeeded", {"version": "v1"})
    newest, oldest = registry.runs("p")
    assert (newest.number, newest.status, newest.detail) == (2, "succeeded", {"version": "v1"})
    assert (oldest.number, oldest.status, oldest.ended_at) == (1, "failed", oldest.started_at)
    assert registry.runs("p", 1) == (newest,)


def test_pipelines_are_apart(registry: Registry) -> None:
    registry.append("b", "noted", "x", None)
    registry.append("a", "noted", "x", None)
    assert registry.pipelines() == ("a", "b")
    assert len(registry.history("a")) == 1


def test_texts_are_values_not_sql(registry: Registry) -> None:
    odd = "x'; DROP TABLE raypipe_ledger; -- :name %s \\ \"é"
    registry.append("p", odd, odd, odd)
    entry = registry.history("p")[0]
    assert (entry.kind, entry.subject, entry.detail) == (odd, odd, odd)


def test_another_process_sees_what_was_written(registry: Registry, url: str, clock: FakeClock) -> None:
    registry.append("p", "noted", "x", None)
    assert Registry(url, clock).history("p") == registry.history("p")


@pytest.mark.parametrize("act", ["read", "write"])
def test_a_newer_schema_is_refused(
    registry: Registry, url: str, clock: FakeClock, run_sql: Callable[[str], None], act: str
) -> None:
    registry.append("p", "noted", "x", None)
    run_sql("UPDATE raypipe_schema SET version = 99")
    fresh = Registry(url, clock)
    with pytest.raises(RegistryError, match=r"must have schema 2\. Got 99"):
        fresh.history("p") if act == "read" else fresh.append("p", "noted", "x", None)


def test_a_url_without_a_scheme(clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match="must look like sqlite:///"):
        Registry("raypipe.db", clock)


def test_a_driver_that_is_not_installed(clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match="driver is installed"):
        Registry("postgresql+nodriver://host/db", clock).pipelines()


def test_a_password_is_not_shown(clock: FakeClock) -> None:
    from raypipe.registry.server import ServerDatabase

    assert "secret" not in ServerDatabase("postgresql://ann:secret@host/db").name


def test_a_database_of_before_marks_gets_them_when_it_is_opened(
    registry: Registry,
    url: str,
    stage: Stage,
    models: Path,
    draft: ManifestDraft,
    run_sql: Callable[[str], None],
) -> None:
    register(registry, stage, models, draft, "a")
    run_sql("DROP TABLE raypipe_model_marks")
    opened = Registry(url, FakeClock(), mounts=lambda: "")
    assert [one.pin for one in opened.model_versions("p")] == [None]
    opened.pin_model("p", "v1", "kept")
    opened.pin_model("p", "v1", "kept still")
    assert [one.pin for one in opened.model_versions("p")] == ["kept still"]
    opened.unpin_model("p", "v1")
    last = opened.history("p", 1)[0].seq
    with pytest.raises(StaleEpoch, match=f"must still end at entry {last - 1}. Got {last} .model_unpinned."):
        opened.remove_models("p", ["v1"], reason="", as_of=last - 1)
    opened.remove_models("p", ["v1"], reason="old", as_of=last)
    assert opened.model_versions("p") == ()
    (removed,) = opened.model_versions("p", removed=True)
    assert (removed.removed_reason, removed.removed_at) == ("old", FakeClock().now())
    with pytest.raises(UnknownVersion, match=r"\(all were removed\)\. Got 'v1', which was removed on 2026"):
        opened.model_version("p", "v1")
