"""Where scored rows go: whoever takes a table of rows, and a Kafka topic that does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from raypipe.core.errors import ConfigError, SinkError
from raypipe.data.sources.kafka_client import kafka, kafka_errors, silent_logger

_KAFKA = re.compile(r"kafka://(?P<servers>[^/\s]+)/(?P<topic>[A-Za-z0-9._-]{1,249})")
KEY_COLUMN = "id"
"""The column whose value is a message's key, if there is one: rows of one key stay in order."""


class Sink(Protocol):
    """Whatever takes rows."""

    def write(self, rows: pa.Table) -> None:
        """Take all rows, or raise SinkError; then some may have been taken."""
        ...


@dataclass(frozen=True)
class KafkaSink:
    """Messages of a topic, one a row: its value is the row as JSON.

    The broker has written all of them once `write` returns. A retry of the client writes none twice; a
    `write` that was stopped and is begun anew does.
    """

    servers: str
    topic: str
    timeout_s: float = 30.0
    options: Mapping[str, str] = field(default_factory=dict)

    def write(self, rows: pa.Table) -> None:
        api = kafka("a kafka:// address")
        refused: list[str] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                refused.append(error.str())

        with kafka_errors(api, f"rows cannot be written to {self}", SinkError):
            producer = api.Producer(self._settings(), logger=silent_logger())
            for row in rows.to_pylist():
                self._produce(producer, row, delivered)
            n_waiting = producer.flush(self.timeout_s)
        if refused or n_waiting:
            why = refused[0] if refused else f"no answer for {self.timeout_s:g} seconds"
            raise SinkError(
                f"{len(refused) + n_waiting:,} of {rows.num_rows:,} rows were not written to {self}: {why}."
            )

    def __str__(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"

    def _settings(self) -> dict[str, object]:
        return {
            "bootstrap.servers": self.servers,
            "enable.idempotence": True,
            "acks": "all",
            "delivery.timeout.ms": int(self.timeout_s * 1000),
            **self.options,
        }

    def _produce(self, producer: Any, row: Mapping[str, object], delivered: Any) -> None:
        key = row.get(KEY_COLUMN)
        value = msgspec.json.encode(row)
        while True:
            try:
                producer.produce(
                    self.topic, value, key=None if key is None else str(key), on_delivery=delivered
                )
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)


def read_properties(text: str) -> dict[str, str]:
    """Read the settings of a client from lines of KEY=VALUE; `#` starts a comment. Raises ConfigError."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or key.startswith("#"):
            continue
        if not equals:
            raise ConfigError(f"line {number} of the client's settings must be KEY=VALUE. Got {key!r}.")
        found[key] = value
    return found


def open_sink(address: str, options: Mapping[str, str] | None = None) -> Sink:
    """Return the sink at an address such as `kafka://broker-1:9092,broker-2:9092/scores`."""
    found = _KAFKA.fullmatch(address)
    if found is None:
        raise ConfigError(f"rows go to an address such as kafka://HOST:PORT/TOPIC. Got {address!r}.")
    return KafkaSink(found["servers"], found["topic"], options=options or {})
