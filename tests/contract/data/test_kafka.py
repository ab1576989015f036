"""A Kafka topic as a source and a sink.

Against the broker that RAYPIPE_TEST_KAFKA names (HOST:PORT, topics made at will), else against the one that
librdkafka has built in for tests: it speaks the protocol over a socket, and keeps messages in memory.

Debian packages no broker; Kafka's own needs Java, and is then named by that variable.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from raypipe.cli.main import app
from raypipe.core.errors import ConfigError, SinkError, SourceError
from raypipe.core.ids import Json
from raypipe.data.sinks import KafkaSink, open_sink, read_properties
from raypipe.data.sources.config import KafkaSettings
from raypipe.data.sources.kafka import KafkaSource
from raypipe.data.sources.rows import read_canonical
from raypipe.data.sources.source import Extent

kafka = pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")
admin = pytest.importorskip("confluent_kafka.admin")

NAMED = os.environ.get("RAYPIPE_TEST_KAFKA", "")
Send = Callable[..., None]


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    if NAMED:
        yield NAMED
        return
    host = kafka.Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = host.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del host


@pytest.fixture
def topic(servers: str) -> str:
    name = f"rows-{uuid.uuid4().hex[:8]}"
    if NAMED:
        client = admin.AdminClient({"bootstrap.servers": servers})
        client.create_topics([admin.NewTopic(name, 2, 1)])[name].result(10)
    else:
        # The built-in broker makes a topic when a producer asks for it.
        kafka.Producer({"bootstrap.servers": servers}).list_topics(name, 10)
    return name


@pytest.fixture
def send(servers: str, topic: str) -> Send:
    def produce(*values: Any, partition: int = 0, timestamp: int = 0) -> None:
        producer = kafka.Producer({"bootstrap.servers": servers})
        for value in values:
            data = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            producer.produce(topic, data, partition=partition, timestamp=timestamp)
        assert producer.flush(10) == 0

    return produce


@pytest.fixture
def source(servers: str, topic: str) -> Callable[..., KafkaSource]:
    def make(**more: Any) -> KafkaSource:
        declared = {
            "name": "s",
            "format": "kafka",
            "servers": servers,
            "topic": topic,
            "timeout_s": 10,
            **more,
        }
        return KafkaSource(KafkaSettings.model_validate(declared))

    return make


def numbers(found: KafkaSource, after: Json = None) -> list[list[int]]:
    return [found.read(piece)["n"].to_pylist() for piece in found.pieces(after)]


def rows(*values: int) -> list[dict[str, int]]:
    return [{"n": value} for value in values]


def test_ranges_of_each_partition_are_pieces(source: Callable[..., KafkaSource], send: Send) -> None:
    send(*rows(0, 1, 2, 3, 4))
    send(*rows(10, 11), partition=1)
    found = source(batch_rows=3)
    pieces = list(found.pieces(None))
    assert [piece.name.partition("[")[2] for piece in pieces] == ["0] 0 to 3", "0] 3 to 5", "1] 0 to 2"]
    assert numbers(found) == [[0, 1, 2], [3, 4], [10, 11]]
    assert [piece.position for piece in pieces] == [{"0": 3}, {"0": 5}, {"0": 5, "1": 2}]
    assert found.extent(None) == Extent(3, 7, None)


def test_stopped_after_any_piece_it_goes_on_with_the_next(
    source: Callable[..., KafkaSource], send: Send
) -> None:
    send(*rows(*range(5)))
    send(*rows(10, 11), partition=1)
    found = source(batch_rows=2)
    pieces = list(found.pieces(None))
    for number, piece in enumerate(pieces):
        left = [one.name for one in source(batch_rows=2).pieces(piece.position)]
        assert left == [one.name for one in pieces[number + 1 :]]
    last = pieces[-1].position
    assert numbers(found, last) == []
    send(*rows(5, 6), partition=1)
    assert numbers(found, last) == [[5, 6]]
    assert found.extent(last).n_rows == 2


def test_another_process_reads_a_piece_by_itself_again_the_same(
    source: Callable[..., KafkaSource], send: Send
) -> None:
    send(*rows(1, 2, 3))
    (piece,) = source().pieces(None)
    send(*rows(4))
    assert source().read(piece)["n"].to_pylist() == source().read(piece)["n"].to_pylist() == [1, 2, 3]


def test_messages_without_a_value_are_passed_over(source: Callable[..., KafkaSource], send: Send) -> None:
    send({"n": 1}, None, {"n": 2}, None)
    assert numbers(source()) == [[1, 2]]
    send(None, partition=1)
    empty = next(piece for piece in source().pieces({"0": 4}))
    assert read_canonical(source(), empty, {}, ()).table.num_rows == 0


@pytest.mark.parametrize("value", [b"no json", [1], b"\xff"])
def test_a_value_that_is_no_object_stops_or_is_skipped(
    source: Callable[..., KafkaSource], send: Send, value: Any
) -> None:
    send({"n": 1}, value, {"n": 2})
    with pytest.raises(SourceError, match=r"\[0\] message 1 must be one JSON object.*`on_bad_value: skip`"):
        numbers(source())
    assert numbers(source(on_bad_value="skip")) == [[1, 2]]


def test_a_partition_begins_at_a_time(source: Callable[..., KafkaSource], send: Send) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for hour in (-1, 0, 1):
        send({"n": hour}, timestamp=int(noon.timestamp() * 1000) + hour * 3_600_000)
    if not NAMED:
        pytest.skip(
            "the built-in broker does not look offsets up by time; name a real one in RAYPIPE_TEST_KAFKA"
        )
    assert numbers(source(since=noon)) == [[0, 1]]


def test_a_topic_made_anew_is_told(source: Callable[..., KafkaSource], send: Send) -> None:
    send(*rows(1, 2))
    with pytest.raises(SourceError, match=r"\[0\] ends at message 2, but source s has read up to 7"):
        numbers(source(), after={"0": 7})


def test_messages_that_were_deleted_are_told(
    source: Callable[..., KafkaSource], send: Send, servers: str, topic: str
) -> None:
    """The built-in broker keeps 5 MB of a partition; another is asked to delete."""
    send(*({"n": n, "filler": "x" * 500_000} for n in range(12)))
    if NAMED:
        upto = kafka.TopicPartition(topic, 0, 2)
        client = admin.AdminClient({"bootstrap.servers": servers})
        client.delete_records([upto])[upto].result(10)
    with pytest.raises(SourceError, match=r"messages 0 to \d+ of .* were deleted before source s read them"):
        numbers(source(), after={"0": 0})
    (left,) = numbers(source(on_gap="skip"), after={"0": 0})
    assert left[0] > 0 and left == list(range(left[0], 12))


@pytest.mark.skipif(
    not NAMED, reason="the built-in broker keeps no transactions; name a real one in RAYPIPE_TEST_KAFKA"
)
def test_what_is_not_committed_is_not_read_and_what_was_aborted_never(
    source: Callable[..., KafkaSource], servers: str, topic: str
) -> None:
    producer = kafka.Producer({"bootstrap.servers": servers, "transactional.id": topic})
    producer.init_transactions(10)
    for number, end in ((1, "commit"), (2, "abort"), (3, "commit")):
        producer.begin_transaction()
        producer.produce(topic, json.dumps({"n": number}).encode(), partition=0)
        producer.flush(10)
        if number == 3:
            before = [n for part in numbers(source()) for n in part]
        producer.commit_transaction(10) if end == "commit" else producer.abort_transaction(10)
    assert before == [1]
    assert [n for part in numbers(source()) for n in part] == [1, 3]


def test_no_topic_no_messages_and_no_broker(source: Callable[..., KafkaSource]) -> None:
    with pytest.raises(SourceError, match=r"source s has no rows: topic rows-\w+ has no messages"):
        numbers(source())
    with pytest.raises(SourceError, match="source s has no topic 'nothing-here'"):
        numbers(source(topic="nothing-here"))
    with pytest.raises(SourceError, match=r"source s cannot be read from kafka://127\.0\.0\.1:1/rows-"):
        source(servers="127.0.0.1:1", timeout_s=0.5).extent(None)


def test_a_message_that_never_comes_is_not_waited_for_forever(
    source: Callable[..., KafkaSource], send: Send
) -> None:
    send({"n": 1})
    (piece,) = source().pieces(None)
    assert isinstance(piece.start, dict)
    beyond = type(piece)(**{**piece.__dict__, "start": {**piece.start, "end": 9}})
    with pytest.raises(SourceError, match=r"got no message of kafka://.* for 1 seconds"):
        source(timeout_s=1).read(beyond)


def test_rows_are_written_with_their_id_as_key_and_read_back(
    source: Callable[..., KafkaSource], servers: str, topic: str
) -> None:
    scored = pa.table({"id": ["a", "b"], "n": [1, 2], "probabilities": [{"A": 0.5}, {"A": 0.25}]})
    sink = open_sink(f"kafka://{servers}/{topic}", {"client.id": "raypipe"})
    sink.write(scored)
    found = source()
    back = [row for piece in found.pieces(None) for row in found.read(piece).to_pylist()]
    assert sorted(back, key=lambda row: str(row["id"])) == scored.to_pylist()


def test_more_rows_than_the_client_queues_are_all_written(
    source: Callable[..., KafkaSource], servers: str, topic: str
) -> None:
    options = {"queue.buffering.max.messages": "100"}
    KafkaSink(servers, topic, options=options).write(pa.table({"n": range(1000)}))
    found = source()
    read = [n for piece in found.pieces(None) for n in found.read(piece)["n"].to_pylist()]
    assert sorted(read) == list(range(1000))


def test_rows_that_nobody_takes_are_counted() -> None:
    with pytest.raises(SinkError, match=r"2 of 2 rows were not written to kafka://127\.0\.0\.1:1/t: "):
        KafkaSink("127.0.0.1:1", "t", timeout_s=0.5).write(pa.table({"n": [1, 2]}))
    with pytest.raises(SinkError, match="rows cannot be written to kafka://h:1/t: "):
        KafkaSink("h:1", "t", options={"no.such.option": "1"}).write(pa.table({"n": [1]}))


REFUSED = {"column": "age", "message": "no", "fields": [{"column": "age", "message": "no"}]}


@pytest.fixture
def endpoint() -> Iterator[int]:
    """Yield the port of an endpoint that answers each row with its number; the last one with an error."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            ids = json.loads(self.rfile.read(int(self.headers["content-length"])))["ids"]
            answers: list[dict[str, object]] = [
                {"id": id, "prediction": "AB"[n % 2], "probabilities": {"A": 0.25, "B": 0.75}}
                for n, id in enumerate(ids)
            ]
            answers[-1] = {"id": ids[-1], "error": REFUSED}
            body = json.dumps({"version": "v1", "predictions": answers}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_predict_writes_each_answer_to_a_topic(
    source: Callable[..., KafkaSource], servers: str, topic: str, endpoint: int, tmp_path: Path
) -> None:
    config, file, client = tmp_path / "p.yaml", tmp_path / "rows.jsonl", tmp_path / "client.properties"
    config.write_text(
        f"name: p\nhome: home\nserving: {{port: {endpoint}}}\n"
        "data: {sources: [{name: s, format: csv, path: x.csv}], label: y}\n"
    )
    file.write_text('{"age": 1}\n{"age": 2}\n{"age": "x"}\n')
    client.write_text("# who we are\nclient.id = raypipe\n")
    to = f"kafka://{servers}/{topic}"
    arguments = ["predict", str(config), "--file", str(file), "--to", to, "--producer-config", str(client)]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.output) == (0, f"3 answers are written to {to}\n"), done.exception
    found = source()
    back = [row for piece in found.pieces(None) for row in found.read(piece).to_pylist()]
    first, second, third = sorted(back, key=lambda row: int(row["id"].rpartition("-")[2]))
    assert (first["prediction"], second["prediction"]) == ("A", "B")
    assert third["error"] == REFUSED


def test_client_settings_are_pairs() -> None:
    assert read_properties("a=1\n\n # no\nb = x=y \n") == {"a": "1", "b": "x=y"}
    with pytest.raises(ConfigError, match=r"line 2 of the client's settings must be KEY=VALUE. Got 'b'"):
        read_properties("a=1\nb")


@pytest.mark.parametrize("address", ["kafka://h:1", "kafka:///t", "http://h/t", "kafka://h:1/a/b"])
def test_an_address_is_spelled_as_one(address: str) -> None:
    with pytest.raises(ConfigError, match="rows go to an address such as kafka://HOST:PORT/TOPIC"):
        open_sink(address)
