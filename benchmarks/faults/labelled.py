"""A load whose rows differ, and whose answers get their labels."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException

from benchmarks.faults.load import Load
from raypipe.core.ids import Json

TOGETHER = 25
"""Labels that are sent at once."""
HEADERS = {"content-type": "application/json"}


class LabelledLoad(Load):
    """Connections that ask for one row each time, and tell the labels of their answers a little later."""

    def __init__(self, url: str, rows: Sequence[tuple[Mapping[str, Json], Json]], n_connections: int) -> None:
        super().__init__(url, dict(rows[0][0]), n_connections)
        self._rows = itertools.cycle(rows)

    def _ask(self) -> None:
        connection = HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=35)
        labels: list[Json] = []
        while not self._stop.is_set():
            with self._lock:
                row, label = next(self._rows)
            try:
                id_ = self._answer(connection, row)
                if id_ is not None:
                    labels.append({"id": id_, "label": label})
                if len(labels) >= TOGETHER:
                    self._post(connection, "feedback", {"labels": labels})
                    labels = []
            except (OSError, HTTPException) as error:
                connection.close()
                self._failed(type(error).__name__)

    def _answer(self, connection: HTTPConnection, row: Mapping[str, Json]) -> str | None:
        status, data = self._post(connection, "predict", {"rows": [dict(row)]})
        self._took(status, data)
        return str(json.loads(data)["predictions"][0]["id"]) if status == 200 else None

    def _post(self, connection: HTTPConnection, route: str, body: Json) -> tuple[int, bytes]:
        connection.request("POST", f"{self._parts.path}/{route}", json.dumps(body), HEADERS)
        response = connection.getresponse()
        return response.status, response.read()
