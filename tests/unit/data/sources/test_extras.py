"""What an extra brings is asked for in one sentence where it is not installed."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from raypipe.core.errors import ConfigError
from raypipe.data.sinks import open_sink
from raypipe.data.sources.config import KafkaSettings, SqlSettings
from raypipe.data.sources.kafka import KafkaSource
from raypipe.data.sources.sql import SqlSource


def test_kafka_without_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    source = KafkaSource(KafkaSettings(name="s", format="kafka", servers="h:1", topic="t"))
    with pytest.raises(
        ConfigError, match=r"^source s needs confluent-kafka, .*`pip install 'raypipe\[kafka\]'`"
    ):
        list(source.pieces(None))
    with pytest.raises(ConfigError, match=r"^a kafka:// address needs confluent-kafka"):
        open_sink("kafka://h:1/t").write(pa.table({"n": [1]}))


def test_postgres_without_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    source = SqlSource(SqlSettings(name="s", format="sql", url="postgresql+psycopg://h/b", table="t"))
    with pytest.raises(ConfigError, match=r"needs the driver psycopg, .*`pip install 'raypipe\[postgres\]'`"):
        source.extent(None)
