from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.core.clock import SystemClock
from raypipe.core.errors import ClusterError, StaleEpoch
from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import PredictionRecord, encode
from raypipe.data.committer import commit_once, read_predictions
from raypipe.data.on_ray import (
    NAMESPACE,
    committer_name,
    committer_status,
    flush_committer,
    start_committer,
    stop_committer,
)
from raypipe.data.wal import WalWriter

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[PipelineHome]:
    folder = Home(tmp_path).pipeline("actor")
    yield folder
    stop_committer(folder.name)


def capture(folder: PipelineHome, id: str) -> None:
    log = WalWriter(folder.wal, f"stream-{id}", SystemClock())
    log.open()
    log.append(encode(PredictionRecord(id, datetime.now(UTC), "v1", "champion", "{}", 1.0)))
    log.close()


def ids(folder: PipelineHome) -> list[str]:
    found: list[str] = read_predictions(folder)["id"].to_pylist()
    return sorted(found)


def wait_for(folder: PipelineHome, expected: list[str]) -> None:
    for _ in range(600):
        if ids(folder) == expected:
            return
        time.sleep(0.05)
    raise AssertionError(f"{ids(folder)} did not become {expected}")


def test_it_commits_by_itself_and_when_told(folder: PipelineHome) -> None:
    capture(folder, "a")
    start_committer(folder, interval_s=0.05, epoch=1)
    wait_for(folder, ["a"])
    capture(folder, "b")
    flush_committer(folder.name)
    assert ids(folder) == ["a", "b"]
    status = committer_status(folder.name)
    assert (status.moved.n_predictions, status.problem) == (2, None)
    assert status.n_rounds >= 2


def test_starting_twice_finds_the_one_that_runs(folder: PipelineHome) -> None:
    start_committer(folder, interval_s=3600, epoch=1)
    flush_committer(folder.name)
    start_committer(folder, interval_s=3600, epoch=1)
    assert committer_status(folder.name).n_rounds == 1


def test_stopping_commits_what_is_left(folder: PipelineHome) -> None:
    start_committer(folder, interval_s=3600, epoch=1)
    capture(folder, "a")
    assert stop_committer(folder.name)
    assert ids(folder) == ["a"]
    assert not stop_committer(folder.name)
    with pytest.raises(ClusterError, match="no committer runs for 'actor'"):
        committer_status(folder.name)


def test_a_killed_committer_comes_back_and_goes_on(folder: PipelineHome) -> None:
    import ray

    def process_id(committer: object) -> int:
        return os.getpid()

    start_committer(folder, interval_s=0.05, epoch=1)
    actor = ray.get_actor(committer_name(folder.name), namespace=NAMESPACE)
    os.kill(ray.get(actor.__ray_call__.remote(process_id)), signal.SIGKILL)
    capture(folder, "after")
    wait_for(folder, ["after"])


def test_one_that_another_replaced_ends_and_is_made_anew_when_started(folder: PipelineHome) -> None:
    start_committer(folder, interval_s=0.05, epoch=1)
    commit_once(folder, epoch=2)
    for _ in range(200):
        if committer_status(folder.name).is_replaced:
            break
        time.sleep(0.05)
    capture(folder, "a")
    with pytest.raises(StaleEpoch, match=r"has epoch 2\. Got a write of the one with 1"):
        flush_committer(folder.name)
    assert ids(folder) == []
    start_committer(folder, interval_s=0.05, epoch=3)
    wait_for(folder, ["a"])
    assert not committer_status(folder.name).is_replaced
