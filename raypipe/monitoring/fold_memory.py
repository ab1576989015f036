"""The fold over rows that are handed to it: the same statements, in a database in memory."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING

from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold import (
    Captured,
    begin,
    captured,
    prune,
)
from raypipe.monitoring.fold_answers import take_answer_rows
from raypipe.monitoring.fold_labels import Batch, take_label_rows
from raypipe.monitoring.fold_lives import Watches

if TYPE_CHECKING:
    import pyarrow as pa


class MemoryFold:
    """What recorded answers and labels come to, in the order in which they are taken in."""

    def __init__(self, settings: MonitoringSettings, watches: Watches) -> None:
        self._settings = settings
        self._watches = watches
        self._session = sqlite3.connect(":memory:", isolation_level=None)
        begin(self._session, settings)

    def take(self, answers: Batch, labels: Batch) -> None:
        """Take in rows of `predictions` and then of `labels`, a list a column; `at` in microseconds."""
        self._session.execute("BEGIN")
        take_answer_rows(self._session, _rows(answers), self._watches, self._settings)
        prune(self._session, self._settings)
        take_label_rows(self._session, labels)
        self._session.execute("COMMIT")

    def read(self, version: str, now: datetime) -> Captured:
        """Return what a look at a version needs, as `raypipe.monitoring.fold.Fold.read` does."""
        return captured(self._session, version, self._watches, self._settings, now.timestamp())

    def close(self) -> None:
        """Forget all."""
        self._session.close()


def _rows(answers: Batch) -> pa.Table:
    import pyarrow as pa

    from raypipe.data.captured import prediction_schema

    schema = prediction_schema()
    types = [pa.int64() if field.name == "at" else field.type for field in schema]
    columns = [pa.array(answers[name], type) for name, type in zip(schema.names, types, strict=True)]
    return pa.table(columns, names=schema.names)
