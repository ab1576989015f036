"""Labels from files, tables and databases to the endpoint, by the readers of the sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ConfigError, ServingError, SourceError
from raypipe.core.ids import Json
from raypipe.data.locations import format_by_name
from raypipe.data.names import suggest
from raypipe.serving import client

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
    spec: EndpointSpec, batches: Iterable[list[Json]], progress: Callable[[int], None] = lambda _: None
) -> Sent:
    """Send labels in requests of bounded size; `progress` is told how many were sent.

    Raises ServingError where one is refused as a whole: what came before it is kept, and to send all of it
    again does no harm.
    """
    token, n_most = spec.token(), min(BATCH, spec.settings.max_rows)
    n_accepted = n_rejected = n_empty = n_sent = 0
    errors: list[Json] = []
    for batch in batches:
        labels = [label for label in batch if label is not None]
        n_empty += len(batch) - len(labels)
        for start in range(0, len(labels), n_most):
            part = labels[start : start + n_most]
            reply = client.feedback(spec.url, {"labels": part}, token=token)
            accepted, refused = _counted(reply, n_accepted)
            n_accepted += accepted
            n_rejected += len(refused)
            errors += refused[: N_ERRORS - len(errors)]
            n_sent += len(part)
            progress(n_sent)
    return Sent(n_accepted, n_rejected, n_empty, tuple(errors))


def _counted(reply: client.EndpointReply, n_before: int) -> tuple[int, list[Json]]:
    match reply.body:
        case {"accepted": int(accepted), "errors": [*errors]} if reply.status in (200, 422):
            return accepted, errors
        case {"error": {"message": str(message)}}:
            told = message
        case other:
            told = f"it answered {reply.status}: {str(other)[:200]}"
    raise ServingError(f"the endpoint refused the labels, of which {n_before:,} are kept: {told}")


def _labels(table: pa.Table) -> Iterator[Json]:
    ids, labels = (column.to_pylist() for column in table.columns)
    for id_, label in zip(ids, labels, strict=True):
        if label is None or (isinstance(label, float) and math.isnan(label)):
            yield None
        else:
            yield {"id": id_, "label": label if isinstance(label, bool | int | float | str) else str(label)}
