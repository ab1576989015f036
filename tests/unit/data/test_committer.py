from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from raypipe.core.errors import StaleEpoch, StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.data import committer
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import (
    COMMITTER,
    LEASE,
    RETENTION,
    commit_once,
    read_labels,
    read_predictions,
)
from raypipe.data.frames import frame
from raypipe.data.locks import try_lock
from raypipe.data.table import open_table
from raypipe.data.tenure import NEWEST
from raypipe.data.wal import WalWriter
from raypipe.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The end of the process, as far as the code under test can tell."""


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("p")


def prediction(number: int) -> bytes:
    return encode(PredictionRecord(f"p{number}", AT, "v1", "champion", '{"x":1}', "UP", (0.25, 0.75)))


def label(number: int) -> bytes:
    return encode(LabelRecord(f"p{number}", "DOWN", AT))


def writer(folder: PipelineHome, stream: str = "s1") -> WalWriter:
    log = WalWriter(folder.wal, stream, FakeClock())
    log.open()
    return log


def ids(folder: PipelineHome) -> tuple[list[str], list[str]]:
    predictions: list[str] = read_predictions(folder)["id"].to_pylist()
    labels: list[str] = read_labels(folder)["prediction_id"].to_pylist()
    return sorted(predictions), sorted(labels)


def fill(folder: PipelineHome) -> None:
    """Two streams: one with two segments of both records, one whose writer died over an open segment."""
    first, second = writer(folder, "s1"), writer(folder, "s2")
    for number in (1, 2):
        first.append_all([prediction(number), label(number)])
        first.seal()
    first.close()
    second.append(prediction(3))
    die(second)


def die(log: WalWriter) -> None:
    """Let go of the lock, as the end of the process does."""
    assert log._lease is not None
    os.close(log._lease)


EXPECTED = (["p1", "p2", "p3"], ["p1", "p2"])


def test_all_segments_move_in_one_commit_for_each_table(folder: PipelineHome) -> None:
    fill(folder)
    report = commit_once(folder)
    assert (report.n_predictions, report.n_labels, report.n_segments) == (3, 2, 3)
    assert ids(folder) == EXPECTED
    assert [DeltaTable(str(path)).version() for path in (folder.predictions, folder.labels)] == [1, 1]
    assert [path.name for path in folder.wal.iterdir()] == [LEASE]


def test_a_second_round_finds_nothing(folder: PipelineHome) -> None:
    fill(folder)
    commit_once(folder)
    assert commit_once(folder).n_segments == 0
    assert ids(folder) == EXPECTED


def test_rows_hold_what_was_captured(folder: PipelineHome) -> None:
    fill(folder)
    commit_once(folder)
    assert read_predictions(folder).sort_by("id").to_pylist()[0] == {
        "id": "p1",
        "at": AT,
        "version": "v1",
        "role": "champion",
        "inputs": '{"x":1}',
        "prediction": '"UP"',
        "probabilities": [0.25, 0.75],
    }


def test_without_a_log_there_is_nothing(folder: PipelineHome) -> None:
    assert commit_once(folder).n_segments == 0
    assert ids(folder) == ([], [])


def test_the_open_segment_of_a_living_writer_is_left_alone(folder: PipelineHome) -> None:
    log = writer(folder)
    log.append(prediction(1))
    assert commit_once(folder).n_segments == 0
    log.append(prediction(2))
    log.seal()
    assert commit_once(folder).n_predictions == 2
    log.append(prediction(3))
    log.close()
    assert commit_once(folder).n_predictions == 1
    assert ids(folder)[0] == ["p1", "p2", "p3"]


def steps_of_a_round(folder: PipelineHome) -> list[str]:
    fill(folder)
    steps: list[str] = []
    commit_once(folder, on_step=steps.append)
    return steps


def test_a_round_has_these_steps(folder: PipelineHome) -> None:
    assert steps_of_a_round(folder) == [
        "sealed",
        "predictions committed",
        "labels committed",
        "segment cleared",
        "segment cleared",
        "segment cleared",
    ]


@pytest.mark.parametrize("last", range(6))
def test_a_crash_after_any_step_loses_and_doubles_nothing(folder: PipelineHome, last: int) -> None:
    fill(folder)
    done: list[str] = []

    def crash(step: str) -> None:
        done.append(step)
        if len(done) == last + 1:
            raise Crash

    with pytest.raises(Crash):
        commit_once(folder, on_step=crash)
    assert commit_once(folder).n_predictions == (3 if last == 0 else 0)
    assert ids(folder) == EXPECTED
    assert [path.name for path in folder.wal.iterdir()] == [LEASE]


def test_new_segments_after_a_crash_move_beside_what_is_there_already(folder: PipelineHome) -> None:
    log = writer(folder)
    log.append(prediction(1))
    log.seal()

    def crash(step: str) -> None:
        if step == "predictions committed":
            raise Crash

    with pytest.raises(Crash):
        commit_once(folder, on_step=crash)
    log.append(prediction(2))
    log.close()
    report = commit_once(folder)
    assert (report.n_predictions, report.n_segments) == (1, 2)
    assert ids(folder)[0] == ["p1", "p2"]


def test_batches_bound_what_is_held_in_memory(folder: PipelineHome) -> None:
    fill(folder)
    assert commit_once(folder, batch_bytes=1).n_segments == 3
    assert ids(folder) == EXPECTED
    assert DeltaTable(str(folder.predictions)).version() == 3


def test_one_committer_at_a_time(folder: PipelineHome) -> None:
    fill(folder)
    lease = try_lock(folder.wal / LEASE)
    assert lease is not None
    report = commit_once(folder)
    assert report.is_busy and report.n_segments == 0
    os.close(lease)
    assert commit_once(folder).n_segments == 3


def test_a_torn_tail_is_counted_and_the_rest_moves(folder: PipelineHome) -> None:
    log = writer(folder)
    log.append(prediction(1))
    with (log.folder / "00000001.open").open("ab") as file:
        file.write(frame(prediction(2))[:-3])
    die(log)
    report = commit_once(folder)
    assert report.n_torn_bytes == len(frame(prediction(2))) - 3
    assert report.damaged == ()
    assert ids(folder)[0] == ["p1"]


@pytest.mark.parametrize("middle", [b"\xff" * 40, frame(b"from another time")])
def test_a_damaged_segment_is_kept_and_named_and_the_rest_moves_once(
    folder: PipelineHome, middle: bytes
) -> None:
    log = writer(folder)
    log.append(prediction(1))
    with (log.folder / "00000001.open").open("ab") as file:
        file.write(middle + frame(prediction(2)))
    die(log)
    (kept,) = commit_once(folder).damaged
    assert Path(kept).name == "00000001.damaged" and Path(kept).exists()
    assert commit_once(folder).n_segments == 0
    assert ids(folder)[0] == ["p1", "p2"]


def test_many_small_files_are_compacted(folder: PipelineHome) -> None:
    log = writer(folder)
    for number in range(4):
        log.append(prediction(number))
        log.seal()
        commit_once(folder, compact_files=2)
    log.close()
    assert len(DeltaTable(str(folder.predictions)).file_uris()) <= 2
    assert ids(folder)[0] == ["p0", "p1", "p2", "p3"]


def test_a_log_entry_torn_by_a_power_cut_is_committed_again(folder: PipelineHome) -> None:
    fill(folder)

    def crash(step: str) -> None:
        if step == "labels committed":
            raise Crash

    with pytest.raises(Crash):
        commit_once(folder, on_step=crash)
    (folder.predictions / "_delta_log" / f"{1:020d}.json").write_bytes(b"")
    assert commit_once(folder).n_predictions == 3
    assert ids(folder) == EXPECTED


def test_each_table_remembers_the_last_segment_of_each_stream(folder: PipelineHome) -> None:
    fill(folder)
    commit_once(folder)
    assert DeltaTable(str(folder.predictions)).transaction_version("s1") == 2
    assert DeltaTable(str(folder.labels)).transaction_version("s2") is None


def test_tables_say_how_long_their_log_is_kept(folder: PipelineHome) -> None:
    fill(folder)
    commit_once(folder)
    for path in (folder.predictions, folder.labels):
        assert DeltaTable(str(path)).metadata().configuration == RETENTION


def test_each_round_has_an_epoch_of_its_own(folder: PipelineHome) -> None:
    log = writer(folder)
    for number in (1, 2):
        log.append(prediction(number))
        log.seal()
        commit_once(folder)
        assert DeltaTable(str(folder.predictions)).transaction_version(COMMITTER) == number
    log.close()


@pytest.fixture
def no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock between committers holds nobody back; those of the writers do."""

    def lock(path: Path) -> int | None:
        return os.open(path, os.O_RDWR | os.O_CREAT) if path.name == LEASE else try_lock(path)

    monkeypatch.setattr(committer, "try_lock", lock)


@pytest.mark.usefixtures("no_lease")
def test_a_committer_that_another_overtook_between_its_commits_is_refused(folder: PipelineHome) -> None:
    fill(folder)
    done: list[str] = []

    def overtaken(step: str) -> None:
        done.append(step)
        if done.count("predictions committed") == 1 and step == "predictions committed":
            commit_once(folder)

    with pytest.raises(StorageError, match="written by another committer, of epoch 2"):
        commit_once(folder, on_step=overtaken)
    assert "segment cleared" not in done
    assert ids(folder) == EXPECTED


@pytest.mark.usefixtures("no_lease")
def test_a_committer_that_another_overtook_is_refused_at_the_commit_itself(
    folder: PipelineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder)

    def overtaken(*given: object) -> DeltaTable:
        table = open_table(*given)  # type: ignore[arg-type]
        monkeypatch.setattr(committer, "open_table", open_table)
        commit_once(folder)
        return table

    monkeypatch.setattr(committer, "open_table", overtaken)
    with pytest.raises(StorageError, match="written by another process at the same time"):
        commit_once(folder)
    assert ids(folder) == EXPECTED


def test_a_committer_writes_nothing_more_once_a_newer_one_has_taken_over(folder: PipelineHome) -> None:
    log = writer(folder)
    log.append(prediction(1))
    log.seal()
    assert commit_once(folder, epoch=3).n_predictions == 1
    assert commit_once(folder, epoch=5) == commit_once(folder, epoch=5)  # Nothing to move, but it is there.
    log.append(prediction(2))
    log.seal()
    for _ in range(2):
        with pytest.raises(StaleEpoch, match=r"of .* has epoch 5\. Got a write of the one with 3"):
            commit_once(folder, epoch=3)
    assert ids(folder)[0] == ["p1"]
    assert commit_once(folder).n_predictions == 1  # A person's command is no committer that goes on.
    log.append(prediction(3))
    log.seal()
    assert commit_once(folder, epoch=5).n_predictions == 1
    assert ids(folder)[0] == ["p1", "p2", "p3"]
    log.close()


@pytest.mark.usefixtures("no_lease")
@pytest.mark.parametrize("at", ["sealed", "predictions committed"])
def test_a_committer_that_was_stopped_in_its_round_is_refused_at_its_next_commit(
    folder: PipelineHome, at: str
) -> None:
    fill(folder)
    (folder.wal / NEWEST).write_text("3")

    def stopped(step: str) -> None:
        if step == at:
            (folder.wal / NEWEST).write_text("4")  # The newer one has begun, and has moved nothing yet.

    with pytest.raises(StaleEpoch, match="has epoch 4"):
        commit_once(folder, epoch=3, on_step=stopped)
    assert len(ids(folder)[0]) == (0 if at == "sealed" else 3)
    assert ids(folder)[1] == []
    commit_once(folder, epoch=4)
    assert ids(folder) == EXPECTED


def test_an_epoch_that_cannot_be_read_is_told(folder: PipelineHome) -> None:
    fill(folder)
    (folder.wal / NEWEST).write_text("four")
    with pytest.raises(StorageError, match="must hold a whole number"):
        commit_once(folder, epoch=4)


def test_what_a_dead_committer_committed_is_durable_before_its_segments_go(
    folder: PipelineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder)

    def crash(step: str) -> None:
        if step == "labels committed":
            raise Crash

    with pytest.raises(Crash):
        commit_once(folder, on_step=crash)
    synced: list[str] = []
    real, steps = os.fsync, list[str]()

    def fsync(descriptor: int) -> None:
        if "segment cleared" not in steps:
            synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert commit_once(folder, on_step=steps.append).n_predictions == 0
    for path in (folder.predictions, folder.labels):
        assert str(path / "_delta_log" / f"{1:020d}.json") in synced
