"""A Kafka topic as a source: ranges of offsets of its partitions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json
from raypipe.data.sources.config import KafkaSettings
from raypipe.data.sources.kafka_client import kafka, kafka_errors, silent_logger
from raypipe.data.sources.records import UNDECLARED, Declared, json_object, records_table
from raypipe.data.sources.source import Delivery, Extent, Piece

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

_BATCH = 1000
_POLL_S = 0.5


@dataclass(frozen=True)
class _Range:
    """Offsets of a partition, `end` not included."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True)
class KafkaSource:
    """Messages whose values are JSON objects; no consumer group is kept, positions are the reader's own."""

    settings: KafkaSettings
    declared: Declared = UNDECLARED

    delivery: ClassVar[Delivery] = "exactly once"
    because: ClassVar[str] = "by ranges of offsets, kept with the rows"
    is_appended: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def place(self) -> str:
        return f"kafka://{self.settings.servers}/{self.settings.topic}"

    def extent(self, after: Json) -> Extent:
        with self._consumer() as consumer:
            ranges = self._ranges(consumer, _offsets(after))
        n_pieces = sum(1 for one in ranges for _ in self._cut(one))
        return Extent(n_pieces, sum(one.end - one.start for one in ranges), None)

    def pieces(self, after: Json) -> Iterator[Piece]:
        offsets = _offsets(after)
        with self._consumer() as consumer:
            ranges = self._ranges(consumer, offsets)
        if after is None and not ranges:
            raise SourceError(f"source {self.name} has no rows: topic {self.settings.topic} has no messages.")
        for whole in ranges:
            for one in self._cut(whole):
                offsets[str(one.partition)] = one.end
                yield self._piece(one, dict(offsets))

    def read(self, piece: Piece) -> pa.Table:
        match piece.start:
            case {"partition": int(partition), "start": int(start), "end": int(end)}:
                wanted = _Range(partition, start, end)
            case other:
                raise SourceError(
                    f"a piece of source {self.name} must name a range of offsets. Got {other!r}."
                )
        with self._consumer() as consumer:
            messages = list(self._messages(consumer, wanted))
        return records_table(self._records(messages), piece.name, self.declared)

    def _piece(self, one: _Range, position: Json) -> Piece:
        name = f"{self.settings.topic}[{one.partition}] {one.start} to {one.end}"
        start: Json = {"partition": one.partition, "start": one.start, "end": one.end}
        return Piece(self.name, name, None, 0, position, start)

    def _cut(self, whole: _Range) -> Iterator[_Range]:
        for start in range(whole.start, whole.end, self.settings.batch_rows):
            yield _Range(whole.partition, start, min(start + self.settings.batch_rows, whole.end))

    def _ranges(self, consumer: Consumer, offsets: dict[str, int]) -> list[_Range]:
        """Return what each partition holds beyond `offsets`."""
        found = [self._range(consumer, number, offsets) for number in self._partitions(consumer)]
        return [one for one in found if one.start < one.end]

    def _partitions(self, consumer: Consumer) -> list[int]:
        topic = self.settings.topic
        known = consumer.list_topics(topic, self.settings.timeout_s).topics[topic]
        if known.error is not None:
            raise SourceError(f"source {self.name} has no topic {topic!r}: {known.error.str()}.")
        return sorted(known.partitions)

    def _range(self, consumer: Consumer, number: int, offsets: dict[str, int]) -> _Range:
        partition = self._api.TopicPartition(self.settings.topic, number)
        first, end = consumer.get_watermark_offsets(partition, self.settings.timeout_s)
        start = offsets.get(str(number))
        if start is None:
            return _Range(number, self._since(consumer, number, first, end), end)
        if start < first and self.settings.on_gap == "stop":
            raise SourceError(
                f"messages {start:,} to {first:,} of {self.settings.topic}[{number}] were deleted before "
                f"source {self.name} read them; `on_gap: skip` goes on without them."
            )
        if start > end:
            raise SourceError(
                f"{self.settings.topic}[{number}] ends at message {end:,}, but source {self.name} has read "
                f"up to {start:,}: the topic was made anew. Give the source another name to read all of it."
            )
        return _Range(number, max(start, first), end)

    def _since(self, consumer: Consumer, number: int, first: int, end: int) -> int:
        """Return where a partition begins that was never read."""
        since = self.settings.since
        if since is None:
            return int(first)
        at = self._api.TopicPartition(self.settings.topic, number, int(since.timestamp() * 1000))
        (found,) = consumer.offsets_for_times([at], self.settings.timeout_s)
        return int(end if found.offset < 0 else found.offset)

    def _messages(self, consumer: Consumer, wanted: _Range) -> Iterator[Message]:
        """Yield the messages of a range; some offsets hold none, as after compaction or a transaction."""
        api = self._api
        consumer.assign([api.TopicPartition(self.settings.topic, wanted.partition, wanted.start)])
        idle_s, offset = 0.0, wanted.start - 1
        while idle_s < self.settings.timeout_s:
            messages = consumer.consume(min(_BATCH, max(1, wanted.end - 1 - offset)), _POLL_S)
            idle_s = 0.0 if messages else idle_s + _POLL_S
            for message in messages:
                error = message.error()
                if error is not None and error.code() != api.KafkaError._PARTITION_EOF:
                    raise api.KafkaException(error)
                offset = message.offset() or 0
                if offset < wanted.end and error is None:
                    yield message
                if offset >= wanted.end - (error is None):
                    return
        raise SourceError(
            f"source {self.name} got no message of {self.place} for {self.settings.timeout_s:g} seconds; see "
            "whether the broker answers, or raise timeout_s."
        )

    def _records(self, messages: list[Message]) -> Iterator[dict[str, Any]]:
        for message in messages:
            value = message.value()
            if value is None:
                continue
            where = f"{message.topic()}[{message.partition()}] message {message.offset():,}"
            try:
                yield json_object(value, where)
            except SourceError as error:
                if self.settings.on_bad_value == "stop":
                    raise SourceError(f"{error} `on_bad_value: skip` goes on without it.") from error

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        api = self._api
        settings = {
            "bootstrap.servers": self.settings.servers,
            "group.id": f"raypipe-{self.name}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            **self.settings.options,
        }
        with kafka_errors(api, f"source {self.name} cannot be read from {self.place}", SourceError):
            consumer = api.Consumer(settings, logger=silent_logger())
            try:
                yield consumer
            finally:
                consumer.close()

    @property
    def _api(self) -> Any:
        return kafka(f"source {self.name}")


def _offsets(after: Json) -> dict[str, int]:
    match after:
        case None:
            return {}
        case {**offsets}:
            return {str(number): int(str(offset)) for number, offset in offsets.items()}
        case _:
            raise SourceError(f"a topic is read by an offset for each partition. Got {after!r}.")
