"""Labels from files, tables and databases to the endpoint, by the readers of the sources."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.api.client.answers import Feedback
from raypipe.api.client.connection import Patience
from raypipe.api.client.parts import Limits, label_parts
from raypipe.api.client.sender import MAX_RETRIES, TIMEOUT_S, Sender, together
from raypipe.core.errors import ConfigError, SourceError
from raypipe.core.ids import Json
from raypipe.data.locations import format_by_name
from raypipe.data.names import suggest

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.data.sources.config import SourceSettings
    from raypipe.data.sources.source import Source
    from raypipe.serving.spec import EndpointSpec

BATCH = 5_000
N_ERRORS = 20
"""Errors of single labels that are told."""
FORMATS = ("parquet", "csv", "jsonl", "delta", "sql")


@dataclass(frozen=True)
class LabelColumns:
    """Which columns hold the ids of predictions and what was true of them."""

    id: str = "id"
    label: str = "label"


@dataclass(frozen=True)
class Sent:
    """What became of labels; `errors` are the first of those that were not accepted."""

    n_accepted: int
    n_rejected: int
    n_empty: int
    """Rows without a label yet, which are not sent."""
    errors: tuple[Json, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "accepted": self.n_accepted,
            "rejected": self.n_rejected,
            "empty": self.n_empty,
            "errors": list(self.errors),
        }


def format_of(path: str) -> str | None:
    """Return the format of a table at a path, by its ending or, for a folder, by what lies in it.

    >>> format_of("labels.parquet")
    'parquet'
    """
    if (Path(path) / "_delta_log").is_dir():
        return "delta"
    return format_by_name(path.rstrip("*/"), FORMATS)


def label_source(settings: Mapping[str, Json]) -> Source:
    """Return the source that settings like those of `data.sources` describe, without its name.

    Raises ConfigError.
    """
    from pydantic import TypeAdapter, ValidationError

    from raypipe.data.sources.config import SourceSettings
    from raypipe.data.sources.opened import open_source

    adapter: TypeAdapter[SourceSettings] = TypeAdapter(SourceSettings)
    try:
        return open_source(adapter.validate_python({"name": "labels", **settings}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"the labels' place cannot be read: {first['msg']}.") from None


def read_labels(source: Source, columns: LabelColumns) -> Iterator[list[Json]]:
    """Yield labels as the endpoint takes them, None for rows without one, in batches; raises SourceError."""
    for piece in source.pieces(None):
        table = source.read(piece)
        for name in (columns.id, columns.label):
            if name not in table.column_names:
                raise SourceError(f"{piece.name} has no column {name!r}; {suggest(name, table.column_names)}")
        chosen = table.select([columns.id, columns.label])
        for start in range(0, chosen.num_rows, BATCH):
            yield [*_labels(chosen.slice(start, BATCH))]


def send_labels(
    spec: EndpointSpec,
    batches: Iterable[list[Json]],
    progress: Callable[[int], None] = lambda _: None,
    *,
    max_retries: int = MAX_RETRIES,
) -> Sent:
    """Send labels in requests of bounded size, each again where its answer is lost or asks for patience.

    `progress` is told how many were sent. Raises ServingError where one is refused as a whole, or not
    answered after `max_retries` more tries: what came before it is kept, and to send all again does no harm.
    """
    settings = spec.settings
    limits = Limits(min(BATCH, settings.max_rows), settings.max_body_bytes)
    sender = Sender.open(spec.url, spec.token(), None, Patience(TIMEOUT_S, max_retries), limits)
    given, found = _Given(), list[Feedback]()
    with closing(sender.connection):
        for part in label_parts(given.labels(batches), limits):
            found += sender.feedback(part, given.places)
            progress(part.first + len(part.items))
    return _sent(together(given.n_empty, found))


class _Given:
    """Labels that were given: the places of those that are sent among all, and how many are not."""

    def __init__(self) -> None:
        self.places = array("q")
        self.n_empty = 0

    def labels(self, batches: Iterable[list[Json]]) -> Iterator[list[Json]]:
        """Yield the labels of batches, without the empty ones."""
        n_given = 0
        for batch in batches:
            present = [place for place, label in enumerate(batch) if label is not None]
            self.places.extend(n_given + place for place in present)
            n_given += len(batch)
            self.n_empty = n_given - len(self.places)
            yield [batch[place] for place in present]


def _sent(found: Feedback) -> Sent:
    errors: list[Json] = [
        {"index": one.index, "id": one.id, "message": one.message} for one in found.refused[:N_ERRORS]
    ]
    return Sent(found.n_accepted, len(found.refused), found.n_empty, tuple(errors))


def _labels(table: pa.Table) -> Iterator[Json]:
    ids, labels = (column.to_pylist() for column in table.columns)
    for id_, label in zip(ids, labels, strict=True):
        if label is None or (isinstance(label, float) and math.isnan(label)):
            yield None
        else:
            yield {"id": id_, "label": label if isinstance(label, bool | int | float | str) else str(label)}
