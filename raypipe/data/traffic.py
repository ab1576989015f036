"""Captured and labelled traffic as a source: an hour of answers is a piece, read anew when it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import polars as pl
import pyarrow as pa

from raypipe.core.errors import DataError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.canonical import TYPES
from raypipe.data.committer import read_labels, read_predictions
from raypipe.data.config import DataSettings
from raypipe.data.contract import answered_already, check, rules_of
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.feeds import Feed, recipe_of
from raypipe.data.live import AT_COLUMN, ID_COLUMN, labelled_predictions, live_rows
from raypipe.data.pieces import Accepted
from raypipe.data.schema import Column, ColumnKind
from raypipe.data.sources.digest import digest_of
from raypipe.data.sources.rows import PieceRows
from raypipe.data.sources.source import PLACE_COLUMN, SOURCE_COLUMN, Delivery, Extent, Piece
from raypipe.data.versions import ENDPOINT

PIECE = timedelta(hours=1)
TEXT = TYPES["category"]
_AT, _ID = "at", "id"


def traffic_feed(
    settings: DataSettings,
    folder: PipelineHome,
    columns: Sequence[Column],
    redacted: frozenset[str] = frozenset(),
) -> Feed:
    """Return the feed of a pipeline's labelled traffic, in the columns that the rows of its sources have.

    Columns that are `redacted` are null, also in rows that were captured before they were, and no rule of the
    contract is about them.
    """
    source = Traffic(folder, columns, label=settings.label_name, time=settings.time, redacted=redacted)
    kinds = [[column.name, column.kind] for column in columns]
    recipe = recipe_of(settings, {"traffic": kinds, **({"redacted": sorted(redacted)} if redacted else {})})
    return Feed(
        source,
        recipe,
        lambda piece: PieceRows(source.read(piece), ()),
        partial(_accept, answered_already(settings.contract, redacted)),
        settings.time,
    )


class Traffic:
    """The labelled predictions of a pipeline, each once, with its last label."""

    def __init__(
        self,
        folder: PipelineHome,
        columns: Sequence[Column],
        *,
        label: str,
        time: str | None,
        redacted: frozenset[str] = frozenset(),
    ) -> None:
        self._folder = folder
        self._columns = columns
        self._label = label
        self._time = time
        self._redacted = redacted
        self._hours: dict[str, tuple[datetime, pl.DataFrame]] = {}

    @property
    def name(self) -> str:
        return ENDPOINT

    @property
    def delivery(self) -> Delivery:
        return "exactly once"

    @property
    def because(self) -> str:
        return "an answer is known by its id"

    @property
    def place(self) -> str:
        return str(self._folder.predictions)

    @property
    def is_appended(self) -> bool:
        return False

    def extent(self, _: Json) -> Extent:
        """Return what is not known before labels are joined."""
        return Extent(None, None, None)

    def pieces(self, _: Json) -> Iterator[Piece]:
        """Yield an hour of answers after the other; raises DataError where none has a label."""
        answers = read_predictions(self._folder, [_ID, _AT])
        labelled = pl.DataFrame(pl.from_arrow(labelled_predictions(answers, read_labels(self._folder))))
        if not labelled.height:
            raise DataError(
                f"no captured row of {self._folder.name} has a label yet; send labels by prediction id."
            )
        ordered = labelled.sort(_AT, _ID).with_columns(pl.col(_AT).dt.truncate(PIECE).alias("hour"))
        for (hour,), rows in ordered.group_by("hour", maintain_order=True):
            name = f"answers of {hour:%Y-%m-%d %H:%M} UTC"
            self._hours[name] = (hour, rows)
            yield Piece(ENDPOINT, name, _digest(rows), 0)

    def read(self, piece: Piece) -> pa.Table:
        """Return the labelled rows of an hour, oldest first, with `_id` and `_at`."""
        hour, rows = self._hours[piece.name]
        answers = pl.DataFrame(pl.from_arrow(read_predictions(self._folder, since=hour, until=hour + PIECE)))
        labels = rows.select(pl.col(_ID).alias("prediction_id"), "label", pl.col("label_at").alias(_AT))
        found = live_rows(
            answers.join(rows, on=[_ID, _AT], how="semi", maintain_order="left").to_arrow(),
            labels.to_arrow(),
            self._columns,
            label=self._label,
            time=self._time,
        )
        kept = found.select([*(column.name for column in self._columns), ID_COLUMN, AT_COLUMN])
        for place, field in enumerate(kept.schema):
            if field.name in self._redacted:
                kept = kept.set_column(place, field, pa.nulls(kept.num_rows, field.type))
        return kept.sort_by([(AT_COLUMN, "ascending"), (ID_COLUMN, "ascending")])


def _digest(rows: pl.DataFrame) -> str:
    found = rows.select(_ID, _AT, "label").to_arrow()
    return digest_of(found.cast(pa.schema([(_ID, TEXT), (_AT, TYPES["timestamp"]), ("label", TEXT)])))


def _accept(contract: ContractSettings, rows: PieceRows, _: Mapping[str, ColumnKind]) -> Accepted:
    """Check the rows of an hour: those that break the contract are set aside, and stop nothing."""
    frame = pl.DataFrame(pl.from_arrow(rows.table)).with_columns(
        pl.lit(ENDPOINT).alias(SOURCE_COLUMN), pl.col(ID_COLUMN).alias(PLACE_COLUMN)
    )
    checked = check(frame, rules_of(contract, frame.schema))
    return Accepted(
        rows=checked.accepted.drop(SOURCE_COLUMN, PLACE_COLUMN),
        untyped=(),
        unread=(),
        n_rows=rows.table.num_rows,
        n_bad=checked.n_bad,
        n_unlabelled=0,
        broken=checked.broken,
        quarantined=checked.quarantined,
    )
