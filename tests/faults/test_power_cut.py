"""A power cut at any moment: what was acknowledged and synced is in the tables once, and nothing is twice.

What is simulated: a disk that keeps, of each file, what it held at its last fsync or fdatasync, and of each
folder the names at its last fsync; all else is lost, or, in the second test, each name and each content
that was not synced survives by lot, whole, empty or cut short. Syncs of the process are recorded as they
happen, and the disk after a cut is made from the record; no hardware and no kernel is cut. A disk that lies
about a sync, or one that damages what was synced, is not simulated.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from raypipe.core.home import Home, PipelineHome
from raypipe.data import table
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once, read_labels, read_predictions
from raypipe.data.wal import WalSettings, WalWriter
from raypipe.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Disk:
    """What of a folder is on the disk, by what was synced; `cut` makes it anew elsewhere."""

    root: Path
    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    kept_open: list[int] = field(default_factory=list)
    """So that no number of a file is given to another."""

    def synced(self, descriptor: int) -> None:
        """Take note of a sync that has returned."""
        found = os.fstat(descriptor)
        self.kept_open.append(os.dup(descriptor))
        path = Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(found.st_mode):
            self.names[found.st_ino] = {one.name: one.lstat().st_ino for one in path.iterdir()}
            self.kept_open += [os.open(one, os.O_RDONLY) for one in path.iterdir()]
        else:
            self.contents[found.st_ino] = path.read_bytes()

    def cut(self, to: Path, draw: Random | None = None) -> None:
        """Make what the disk holds after a cut; what was not synced survives by lot, if there is one."""
        self._make(self.root, self.root.stat().st_ino, to, draw)

    def _make(self, live: Path | None, number: int, to: Path, draw: Random | None) -> None:
        to.mkdir()
        names = dict(self.names.get(number, {}))
        if draw is not None and live is not None and live.is_dir():
            now = {one.name: one.lstat().st_ino for one in live.iterdir()}
            for name in sorted({*names, *now}):
                if draw.random() < 0.5:
                    names.pop(name, None)
                    names |= {name: now[name]} if name in now else {}
        for name, child in names.items():
            at = live / name if live is not None else None
            same = at if at is not None and at.exists() and at.lstat().st_ino == child else None
            if child in self.names or (same is not None and same.is_dir()):
                self._make(same, child, to / name, draw)
            else:
                (to / name).write_bytes(self._content(child, same, draw))

    def _content(self, number: int, live: Path | None, draw: Random | None) -> bytes:
        synced = self.contents.get(number, b"")
        if draw is None or live is None or draw.random() < 0.5:
            return synced
        now = live.read_bytes()
        return now if draw.random() < 0.5 else now[: draw.randint(min(len(synced), len(now)), len(now))]

    def close(self) -> None:
        for descriptor in self.kept_open:
            os.close(descriptor)


@dataclass
class Life:
    """A replica that answers, and a committer, in one process; hears of each sync."""

    folder: PipelineHome
    on_sync: Callable[[Life], None]
    appended: list[str] = field(default_factory=list)
    safe: set[str] = field(default_factory=set)
    """Acknowledged, and synced since."""

    def run(self, n_rounds: int) -> None:
        clock = FakeClock()
        log = WalWriter(self.folder.wal, "s1", clock, WalSettings(segment_bytes=400, segment_age_s=2.0))
        log.open()
        for number in range(n_rounds):
            for part in range(2):
                self._append(log, f"{number}-{part}")
            clock.advance(1.0)
            log.tick()
            self.safe |= set(self.appended)
            if number % 2:
                commit_once(self.folder, clock=clock, compact_files=3)
        log.close()
        commit_once(self.folder, clock=clock, compact_files=3)

    def _append(self, log: WalWriter, id: str) -> None:
        answer = PredictionRecord(id, AT, "v1", "champion", "{}", 1.5)
        label = LabelRecord(id, 2.5, AT + timedelta(seconds=1))
        log.append_all([encode(answer), encode(label)])
        self.appended.append(id)


@pytest.fixture
def lived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[Life, Disk], None]], None]]:
    """Return what runs a life on a recorded disk, and tells after each sync."""
    monkeypatch.setattr(table, "CHECKPOINT_EVERY", 3)
    (tmp_path / "live").mkdir()
    disk = Disk(tmp_path / "live")

    def run(on_sync: Callable[[Life, Disk], None]) -> None:
        life = Life(Home(disk.root).pipeline("p"), lambda it: on_sync(it, disk))
        with monkeypatch.context() as patch:
            for name in ("fsync", "fdatasync"):
                patch.setattr(os, name, recorded(getattr(os, name), disk, life))
            life.run(8)

    yield run
    disk.close()


def recorded(real: Callable[[int], None], disk: Disk, life: Life) -> Callable[[int], None]:
    def sync(descriptor: int) -> None:
        real(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(disk.root):
            disk.synced(descriptor)
            life.on_sync(life)

    return sync


def check(home: Path, safe: set[str], appended: list[str]) -> None:
    """Recover, and look at what is there."""
    folder = Home(home).pipeline("p")
    commit_once(folder)
    assert commit_once(folder).n_segments == 0
    for found in (
        read_predictions(folder)["id"].to_pylist(),
        read_labels(folder)["prediction_id"].to_pylist(),
    ):
        assert len(found) == len(set(found)), "nothing is there twice"
        assert safe <= set(found) <= set(appended)


@dataclass
class Cuts:
    """The states of the disk after some syncs, made where they are looked at later."""

    place: Path
    every: int
    draw: Random | None
    taken: list[tuple[Path, set[str], list[str]]] = field(default_factory=list)
    n_syncs: int = 0

    def __call__(self, life: Life, disk: Disk) -> None:
        self.n_syncs += 1
        if self.n_syncs % self.every == 0:
            to = self.place / f"cut-{self.n_syncs}"
            disk.cut(to, self.draw)
            self.taken.append((to, set(life.safe), list(life.appended)))


def test_all_that_was_not_synced_is_lost(
    tmp_path: Path, lived: Callable[[Callable[[Life, Disk], None]], None]
) -> None:
    cuts = Cuts(tmp_path, 4, None)
    lived(cuts)
    assert cuts.n_syncs > 60
    for taken in cuts.taken:
        check(*taken)


def test_what_was_not_synced_survives_by_lot(
    tmp_path: Path, lived: Callable[[Callable[[Life, Disk], None]], None]
) -> None:
    cuts = Cuts(tmp_path, 4, Random(5))
    lived(cuts)
    for taken in cuts.taken:
        check(*taken)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [None, *range(5)])
def test_a_cut_after_each_sync(
    tmp_path: Path, lived: Callable[[Callable[[Life, Disk], None]], None], seed: int | None
) -> None:
    cuts = Cuts(tmp_path, 1, None if seed is None else Random(seed))
    lived(cuts)
    for taken in cuts.taken:
        check(*taken)
