"""Keeping what was answered: appended to the write-ahead log before the answer leaves."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol

from raypipe.core.clock import Clock
from raypipe.core.errors import DataError, StorageError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.core.secret_file import kept_key
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.roles import CHAMPION
from raypipe.data.wal import WalSettings, WalWriter
from raypipe.serving.answers import AnsweredRow
from raypipe.serving.config import CaptureSettings
from raypipe.serving.feedback import Label
from raypipe.serving.redaction import Redaction

REOPEN_INTERVAL = timedelta(seconds=1)

_log = logging.getLogger("raypipe.serving")


@dataclass(frozen=True)
class CaptureState:
    """What was kept since the replica started; `why_not` is why nothing is kept now, None where it is."""

    enabled: bool
    n_captured: int = 0
    n_not_captured: int = 0
    why_not: str | None = None
    n_left_out: int = 0
    """Answered rows that are not of the sample which is kept."""

    def to_json(self) -> Json:
        return asdict(self)


class Capture(Protocol):
    """Keeps predictions and labels."""

    def predictions(self, rows: Sequence[AnsweredRow], version: str, at: datetime) -> None:
        """Keep the answers of one request, of `version` unless they say another.

        A failure is counted and told by `state`, never raised.
        """
        ...

    def labels(self, labels: Sequence[Label], at: datetime) -> None:
        """Keep labels; raises StorageError where they cannot be kept."""
        ...

    def state(self) -> CaptureState: ...

    def close(self) -> None:
        """Give everything to the disk."""
        ...


def open_capture(folder: PipelineHome, settings: CaptureSettings, stream: str, clock: Clock) -> Capture:
    """Return the capture of one start of one replica, which `stream` names; no two may share it.

    Raises StorageError where values are to be hashed and the key for it cannot be read or made.
    """
    hashes = "hash" in settings.redact.values()
    key = kept_key(folder.capture_key, secrets.token_hex(32), stream) if hashes else b""
    redaction = Redaction(settings.redact, key)

    def open_log() -> WalWriter:
        writer = WalWriter(folder.wal, stream, clock, WalSettings(sync_interval_s=settings.sync_interval_s))
        writer.open()
        writer.start()
        return writer

    return WalCapture(
        open_log,
        clock,
        predictions=settings.enabled,
        redaction=redaction,
        sample_ratio=settings.sample_ratio,
    )


class WalCapture:
    """Appends to a write-ahead log; safe to call from several threads.

    A log that cannot be opened, as on a full disk, is tried again a second later. Where `predictions` is
    False only labels are kept: they were sent to be kept.
    """

    def __init__(
        self,
        open_log: Callable[[], WalWriter],
        clock: Clock,
        *,
        predictions: bool = True,
        redaction: Redaction | None = None,
        sample_ratio: float = 1.0,
    ) -> None:
        self._open_log = open_log
        self._clock = clock
        self._enabled = predictions
        self._redaction = redaction or Redaction()
        self._sample_ratio = sample_ratio
        self._log: WalWriter | None = None
        self._tried_at: datetime | None = None
        self._n_captured = 0
        self._n_not_captured = 0
        self._n_left_out = 0
        self._why_not: str | None = None
        self._lock = threading.Lock()

    def predictions(self, rows: Sequence[AnsweredRow], version: str, at: datetime) -> None:
        if not self._enabled:
            return
        ratio, text = self._sample_ratio, self._redaction.text
        chosen = rows if ratio >= 1 else [row for row in rows if is_sampled(row.id, ratio)]
        try:
            self._append(
                [
                    encode(
                        PredictionRecord(
                            row.id,
                            at,
                            row.version or version,
                            row.role or CHAMPION,
                            text(row.received),
                            row.prediction,
                            row.probabilities,
                        )
                    )
                    for row in chosen
                ]
            )
        except (StorageError, DataError) as error:
            if self._why_not is None:
                _log.warning("answers are not captured: %s", error)
            with self._lock:
                self._n_not_captured += len(chosen)
                self._why_not = str(error)
            return
        with self._lock:
            self._why_not = None
            self._n_captured += len(chosen)
            self._n_left_out += len(rows) - len(chosen)

    def labels(self, labels: Sequence[Label], at: datetime) -> None:
        if labels:
            self._append([encode(LabelRecord(label.id, label.label, at)) for label in labels])

    def state(self) -> CaptureState:
        problem = self._log.problem if self._log else None
        with self._lock:
            why_not = problem or self._why_not
            return CaptureState(
                self._enabled, self._n_captured, self._n_not_captured, why_not, self._n_left_out
            )

    def close(self) -> None:
        if self._log is None:
            return
        try:
            self._log.close()
        except StorageError:
            # What was appended is still in the open segment, which the committer takes from a dead replica.
            _log.exception("the write-ahead log could not be sealed")

    def _append(self, payloads: list[bytes]) -> None:
        if payloads:
            (self._log or self._opened()).append_all(payloads)

    def _opened(self) -> WalWriter:
        with self._lock:
            if self._log is None:
                now = self._clock.now()
                if self._tried_at is not None and now - self._tried_at < REOPEN_INTERVAL:
                    raise StorageError(self._why_not or "the write-ahead log could not be opened.")
                self._tried_at = now
                try:
                    self._log = self._open_log()
                except StorageError as error:
                    self._why_not = str(error)
                    raise
            return self._log


def is_sampled(id: str, ratio: float) -> bool:
    """Whether a row is of the sample: an id that comes again is decided alike, whichever replica answers."""
    if ratio >= 1:
        return True
    place = int.from_bytes(hashlib.blake2b(id.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return place < ratio * 2**64
