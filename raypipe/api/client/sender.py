"""What both clients do: requests prepared, sent, and cut smaller where the endpoint takes no more at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from raypipe.api.client.answers import Feedback, Prediction, feedback_of, predictions_of
from raypipe.api.client.cells import cell
from raypipe.api.client.connection import BodyTooLarge, Connection, Patience
from raypipe.api.client.credentials import find_token
from raypipe.api.client.parts import Limits, Part, checked_ids, label_parts, row_parts
from raypipe.api.client.tables import Rows, rows_of
from raypipe.core.errors import DataError, ServingError
from raypipe.core.ids import Json
from raypipe.serving.client import EndpointStatus

TIMEOUT_S = 60.0
MAX_RETRIES = 6
MAX_ROWS = 10_000
MAX_BODY_BYTES = 16 * 1024 * 1024


class LabelColumns(NamedTuple):
    """Which columns hold the ids of predictions and what was true of them."""

    id: str
    label: str


class Labels(NamedTuple):
    """Labels to send: each as the endpoint takes it, and its place among all that were given."""

    items: list[object]
    places: list[int]
    n_empty: int


@dataclass(frozen=True)
class Sender:
    """Sends requests to one endpoint; safe to use from several threads."""

    connection: Connection
    limits: Limits

    @classmethod
    def open(
        cls,
        url: str,
        token: str | None,
        token_file: str | Path | None,
        patience: Patience,
        limits: Limits,
        n_connections: int = 1,
    ) -> Sender:
        """Return a sender; nothing is sent yet. Raises ConfigError."""
        found = find_token(token, token_file, os.environ)
        return cls(Connection(url, found, patience, n_connections=n_connections), limits)

    def row_parts(self, rows: Rows, ids: Iterable[object] | None) -> Iterator[Part]:
        """Return the requests for rows, by the ids given or by new ones; raises ConfigError."""
        chosen = new_ids(rows.n_rows) if ids is None else checked_ids(ids, rows.n_rows)
        return row_parts(rows.slices(), chosen, self.limits)

    def label_parts(self, labels: Labels) -> Iterator[Part]:
        """Return the requests with labels."""
        return label_parts([labels.items], self.limits)

    def predict(self, part: Part) -> list[Prediction]:
        """Return the answers to the rows of a request; raises ServingError."""
        return [
            answer
            for one, told in self._ask("predict", part)
            for answer in predictions_of(self.connection.url, one, told)
        ]

    def feedback(self, part: Part, places: Sequence[int]) -> list[Feedback]:
        """Return what became of the labels of a request; raises ServingError."""
        return [
            feedback_of(self.connection.url, one, told, places) for one, told in self._ask("feedback", part)
        ]

    def status(self) -> EndpointStatus:
        """Return what the endpoint says of itself; raises ServingError."""
        return EndpointStatus.from_json(self.connection.ask("GET", "status"))

    def _ask(self, route: str, part: Part) -> Iterator[tuple[Part, Json]]:
        """Yield the answer to a request, or the answers to the smaller ones that the endpoint takes."""
        try:
            yield part, self.connection.ask("POST", route, part.body)
        except BodyTooLarge:
            if len(part.items) == 1:
                raise
            for half in part.halves():
                yield from self._ask(route, half)
        except ServingError as error:
            if part.first == 0:
                raise
            raise type(error)(f"{error} The first {part.first:,} {part.key} are through.") from error


def new_ids(n_rows: int) -> Iterator[str]:
    """Yield ids that no other call makes: one name for the call, and the number of the row."""
    call = uuid4().hex
    return (f"{call}-{number}" for number in range(n_rows))


def labels_of(given: object, columns: LabelColumns) -> Labels:
    """Return labels from `{id: label}`, a list of mappings or a table; raises DataError.

    Those without a label yet (None, NaN) are left out.
    """
    pairs = given.items() if isinstance(given, Mapping) else _pairs(given, columns)
    items, places, n_given = list[object](), list[int](), 0
    for place, (id_, label) in enumerate(pairs):
        n_given += 1
        if cell(label) is not None:
            items.append({"id": id_, "label": label})
            places.append(place)
    return Labels(items, places, n_given - len(items))


def together(n_empty: int, found: Iterable[Feedback]) -> Feedback:
    """Return what became of the labels of all requests."""
    listed = list(found)
    refused = tuple(label for one in listed for label in one.refused)
    return Feedback(sum(one.n_accepted for one in listed), n_empty, refused)


def _pairs(given: object, columns: LabelColumns) -> Iterator[tuple[object, object]]:
    for rows in rows_of(given, "labels").slices():
        for row in rows:
            if not isinstance(row, Mapping) or columns.id not in row or columns.label not in row:
                raise DataError(f"a label must have {columns.id!r} and {columns.label!r}. Got {row!r:.60}.")
            yield row[columns.id], row[columns.label]
