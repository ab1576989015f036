from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.core.errors import DataError, SourceError
from raypipe.core.home import Home, PipelineHome
from raypipe.core.progress import Step
from raypipe.data.config import DataSettings
from raypipe.data.follow import follow, only_follower
from raypipe.data.fragments import read_rows
from raypipe.data.ingest import ingest
from raypipe.data.locks import try_lock
from raypipe.data.turns import turn
from raypipe.data.versions import DataVersion
from raypipe.testing import FakeClock
from raypipe.testing.data import SourceInMemory, VersionsInMemory, feeds_in_memory

SETTINGS = DataSettings.model_validate(
    {"sources": [{"name": "unused", "format": "csv", "path": "nowhere"}], "label": "y"}
)


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("p")


class Growing:
    """Ingests a source that has one more table each time, and may do something between."""

    def __init__(self, folder: PipelineHome, then: Callable[[int], None] = lambda _: None) -> None:
        self.versions = VersionsInMemory()
        self.n_looks = 0
        self._folder = folder
        self._source = SourceInMemory("s", is_appended=True)
        self._then = then

    def __call__(self) -> DataVersion:
        self.n_looks += 1
        if self.n_looks != 3:
            self._source.tables.append(pa.table({"x": [self.n_looks], "y": [1]}))
        self._then(self.n_looks)
        feeds = feeds_in_memory(SETTINGS, self._source)
        return ingest(SETTINGS, self._folder, self.versions, clock=FakeClock(), feeds=feeds)


def run(ingesting: Callable[[], DataVersion], **changes: object) -> tuple[int, list[str]]:
    told: list[str] = []

    def tell(step: Step) -> None:
        told.append(step.message)

    values: dict[str, object] = {"newest": None, "every_s": 0.0, "max_batches": None, "progress": tell}
    stop = threading.Event()
    return follow(ingesting, stop, **{**values, **changes}), told  # type: ignore[arg-type]


def test_batches_that_bring_nothing_do_not_count(folder: PipelineHome) -> None:
    growing = Growing(folder)
    n_batches, _ = run(growing, max_batches=4)
    assert (n_batches, growing.n_looks) == (4, 5)
    newest = growing.versions.all()[0]
    assert read_rows(folder, newest)["x"].to_pylist() == [1, 2, 4, 5]


def test_what_was_there_before_is_no_batch(folder: PipelineHome) -> None:
    growing = Growing(folder)
    first = growing()
    assert run(growing, newest=first.id, max_batches=1)[0] == 1
    assert growing.n_looks == 2


def test_a_source_that_fails_is_tried_again(folder: PipelineHome) -> None:
    def fail(look: int) -> None:
        if look == 1:
            raise SourceError("the database is away.")

    n_batches, told = run(Growing(folder, fail), max_batches=1)
    assert n_batches == 1
    assert "the database is away. It is tried again in 0 s." in told


def test_any_other_error_ends_it(folder: PipelineHome) -> None:
    def fail(_: int) -> None:
        raise DataError("1 rows break a rule that stops.")

    with pytest.raises(DataError, match="stops"):
        run(Growing(folder, fail))


def test_it_ends_after_the_batch_in_which_it_was_told_to(folder: PipelineHome) -> None:
    stop = threading.Event()

    def end(look: int) -> None:
        if look == 2:
            stop.set()

    growing = Growing(folder, end)
    n_batches = follow(growing, stop, newest=None, every_s=0.0, max_batches=None, progress=lambda _: None)
    assert n_batches == 2
    assert read_rows(folder, growing.versions.all()[0])["x"].to_pylist() == [1, 2]


@pytest.fixture
def busy(folder: PipelineHome) -> Iterator[Path]:
    """Hold the pipeline's ingest until the test takes its hand off."""
    folder.ingest_lock.parent.mkdir(parents=True)
    lease = try_lock(folder.ingest_lock)
    assert lease is not None
    yield folder.ingest_lock
    os.close(lease)


@pytest.mark.usefixtures("busy")
def test_a_second_ingest_says_that_it_waits_and_waits(folder: PipelineHome) -> None:
    told: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        with turn(folder, lambda step: told.append(step.message)):
            entered.set()

    threading.Thread(target=wait, daemon=True).start()
    while not told:
        pass
    assert told == ["waiting until another process has ended its ingest of p"]
    assert not entered.is_set()


def test_turns_follow_each_other(folder: PipelineHome) -> None:
    for _ in range(2):
        with turn(folder, lambda _: None):
            assert try_lock(folder.ingest_lock) is None


def test_a_second_follower_is_refused(folder: PipelineHome) -> None:
    sentence = "another process follows the sources of p already"
    with only_follower(folder), pytest.raises(DataError, match=sentence), only_follower(folder):
        pass
    with only_follower(folder):
        pass


def test_what_was_read_before_a_death_is_not_read_again(folder: PipelineHome) -> None:
    """Pieces of an appended source are kept one by one, also those of a batch that never ended."""
    source, versions = SourceInMemory("s", is_appended=True), VersionsInMemory()
    source.tables = [pa.table({"x": [number], "y": [1]}) for number in range(4)]

    class Death(BaseException):
        pass

    class Dying(VersionsInMemory):
        def add(self, version: DataVersion) -> None:
            raise Death

    dying = Dying()
    feeds = feeds_in_memory(SETTINGS, source)
    with pytest.raises(Death):
        ingest(SETTINGS, folder, dying, clock=FakeClock(), feeds=feeds)
    for fragment in dying.fragments()[:3]:
        versions.keep(fragment)
    source.was_read.clear()
    version = ingest(SETTINGS, folder, versions, clock=FakeClock(), feeds=feeds)
    assert source.was_read == ["s 3"]
    assert read_rows(folder, version)["x"].to_pylist() == [0, 1, 2, 3]
    assert (version.n_read, version.n_known) == (1, 3)
    alone = replace(folder, root=folder.root / "alone")
    anew = ingest(SETTINGS, alone, VersionsInMemory(), clock=FakeClock(), feeds=feeds)
    assert anew.id == version.id
