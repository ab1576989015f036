"""The ledger of a backtest: what a registry does for a controller, in memory and in the rows' time."""

from __future__ import annotations

from raypipe.core.clock import Clock
from raypipe.core.errors import StaleEpoch
from raypipe.core.ids import Json
from raypipe.registry.values import LedgerEntry

CHAMPION = "champion"


class MemoryLedger:
    """The ledger of one pipeline, and the alias `champion`; see `raypipe.registry.store.Registry`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[LedgerEntry] = []
        self._champion: str | None = None
        self._epoch = 0
        self.before: str | None = None
        """The version that was the champion before; None where there was none."""

    def append(
        self, pipeline: str, kind: str, subject: str, detail: Json, *, controller: int | None = None
    ) -> LedgerEntry:
        """Append an entry; there is one controller, so none is ever replaced."""
        del controller
        entry = LedgerEntry(pipeline, len(self._entries) + 1, self._clock.now(), kind, subject, detail)
        self._entries.append(entry)
        return entry

    def history(
        self, pipeline: str, limit: int | None = 50, *, after_seq: int = 0
    ) -> tuple[LedgerEntry, ...]:
        """Return the entries after a number, newest first."""
        del pipeline
        newest = tuple(reversed(self._entries[after_seq:]))
        return newest if limit is None else newest[:limit]

    def take_over(self, pipeline: str) -> int:
        """Hand out the next epoch."""
        del pipeline
        self._epoch += 1
        return self._epoch

    def alias(self, pipeline: str, alias: str) -> str | None:
        """Return the version that answers."""
        del pipeline
        return self._champion if alias == CHAMPION else None

    def release(self, pipeline: str, version: str, expected: str | None, reason: str) -> int:
        """Let a version answer, and return the epoch; raises StaleEpoch where not `expected` does."""
        if self._champion != expected:
            raise StaleEpoch(
                f"the champion of {pipeline} must still be {expected}. Got {self._champion}: another release "
                "came in between."
            )
        self._epoch += 1
        detail: Json = {
            "version": version,
            "previous": self._champion,
            "epoch": self._epoch,
            "reason": reason,
        }
        self._champion, self.before = version, self._champion
        self.append(pipeline, "alias_moved", CHAMPION, detail)
        return self._epoch
