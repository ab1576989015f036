"""What the config says of where rows come from: a model for each format, told apart by `format`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from raypipe.core.settings import Settings
from raypipe.data.sources.places import HIDDEN, hidden, masked

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
_SQLITE = "sqlite"
_MEMORY = ("", ":memory:")


class AsOfSettings(Settings):
    """Take the newest row of the lookup whose time is at or before that of the row; never a later one."""

    time: ColumnName
    """The lookup's column that says from when on its row is true: timestamps, or ISO 8601 text."""
    row_time: Annotated[str, Field(min_length=1)] | None = None
    """A column of the rows, or an SQL expression over them, that gives a row's time; else `data.time`."""
    row_time_zone: str | None = None
    """The zone, such as `America/New_York`, where `row_time` is local time; else it is UTC."""
    available_after_s: Annotated[float, Field(ge=0)] = 0
    """How long after its time a row of the lookup is published: so much older must it be."""
    tolerance_s: Annotated[float, Field(gt=0)] | None = None
    """How old a row of the lookup may be at most; without it, of any age."""

    @field_validator("row_time_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        try:
            return zone and str(ZoneInfo(zone))
        except (KeyError, ValueError, OSError):
            raise ValueError(f"it must name a time zone such as Europe/Zurich. Got {zone!r}") from None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.tolerance_s is not None and self.tolerance_s < self.available_after_s:
            raise ValueError(
                f"tolerance_s must be >= available_after_s, or nothing ever matches. "
                f"Got {self.tolerance_s:g} and {self.available_after_s:g}"
            )
        return self


class JoinSettings(Settings):
    """What makes a source a lookup: its columns stand beside the rows of the others, and it adds no row."""

    by: tuple[ColumnName, ...] | dict[ColumnName, ColumnName] = ()
    """Columns that must be equal: names, or where they differ, the rows' name and then the lookup's."""
    as_of: AsOfSettings | None = None
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)] | None = None
    """Which of the lookup's columns are added; by default all but those of `by` and `as_of.time`."""
    prefix: str | None = None
    """What the added columns' names start with; by default the source's name and `_`."""
    duplicates: Literal["error", "last"] = "error"
    """What several rows of the lookup with the same key (and time) are: an error, or the last one counts."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The rows' and the lookup's name of each key column."""
        return tuple(self.by.items()) if isinstance(self.by, dict) else tuple((by, by) for by in self.by)

    def prefix_of(self, name: str) -> str:
        """Return what the added columns' names start with in a source of this name."""
        return f"{name}_" if self.prefix is None else self.prefix

    @model_validator(mode="after")
    def _by_something(self) -> Self:
        if not self.by and self.as_of is None:
            raise ValueError("a join must have `by`, `as_of` or both. Got neither")
        return self


class BaseSettings(Settings):
    """What all sources have."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    """How rows remember where they came from."""
    kind: Literal["historical", "live"] = "historical"
    join: JoinSettings | None = None
    """Makes the source a lookup; without it, its rows stack with those of the other sources."""

    @property
    def local_path(self) -> str | None:
        """The path on this machine that the source names, if it names one."""
        return None

    def moved(self, move: Callable[[str], str]) -> Self:
        """Return the settings with `local_path` moved."""
        path = self.local_path
        return self if path is None else self.model_copy(update=self._at(move(path)))

    def without_secrets(self) -> Self:
        """Return the settings as anybody may see them."""
        return self.model_copy(update=self._masked())

    def _at(self, path: str) -> dict[str, str]:
        """Return the keys that change where `local_path` becomes `path`."""
        return {"path": path}

    def _masked(self) -> dict[str, object]:
        """Return the keys that hold secrets, without them."""
        return {}


class PathSettings(BaseSettings):
    """Rows at a path."""

    path: Annotated[str, Field(min_length=1)]
    """A file, a folder, a glob, or a URL that pyarrow opens; relative paths start at the config's folder."""

    @property
    def local_path(self) -> str | None:
        return None if "://" in self.path else self.path

    def _masked(self) -> dict[str, object]:
        return {"path": masked(self.path)}


class ParquetSettings(PathSettings):
    """Parquet files."""

    format: Literal["parquet"]


class CsvSettings(PathSettings):
    """CSV files; types are found by looking at all values of a file."""

    format: Literal["csv"]


class JsonLinesSettings(PathSettings):
    """Files with one JSON object a line; texts stay text, unless the contract gives the column a kind."""

    format: Literal["jsonl"]


class TextSettings(PathSettings):
    """Text files in UTF-8; each line is a row with one column, `text`."""

    format: Literal["text"]


class DeltaSettings(PathSettings):
    """A Delta table: all rows of one version, or, followed, the files that each version adds."""

    format: Literal["delta"]
    version: Annotated[int, Field(ge=0)] | None = None
    """The table's version to read; by default the newest."""
    follow: bool = False
    """Read a file once, when a version adds it; the table may then not change or remove rows."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.follow and self.version is not None:
            raise ValueError("follow reads every version as it comes; leave out `version`")
        return self


class SqlSettings(BaseSettings):
    """Rows of a database that SQLAlchemy reaches."""

    format: Literal["sql"]
    url: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://")]
    """As SQLAlchemy spells it: `sqlite:///rows.db`, `postgresql+psycopg://user:${PASSWORD}@host/base`."""
    table: Annotated[str, Field(min_length=1)] | None = None
    """A table or view, with its schema before a point if need be."""
    query: Annotated[str, Field(min_length=1)] | None = None
    """A SELECT without parameters."""
    cursor: ColumnName | None = None
    """A column that only grows (a number, a time, a text); rows beyond what was read are then read once."""
    lag: Annotated[float, Field(ge=0)] = 0
    """How far behind the largest cursor value reading stops, so that rows committed late are not passed over.

    Seconds for times, units for numbers.
    """
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """The most rows of a piece, except that rows of one cursor value are never in two pieces."""

    @property
    def local_path(self) -> str | None:
        scheme, _, rest = self.url.partition(":///")
        path = rest.partition("?")[0]
        is_file = scheme.partition("+")[0] == _SQLITE and path not in _MEMORY and not path.startswith("file:")
        return path if is_file else None

    def _at(self, path: str) -> dict[str, str]:
        scheme, _, rest = self.url.partition(":///")
        _, mark, query = rest.partition("?")
        return {"url": f"{scheme}:///{path}{mark}{query}"}

    def _masked(self) -> dict[str, object]:
        return {"url": masked(self.url)}

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("a sql source must have either `table` or `query`")
        if self.lag and self.cursor is None:
            raise ValueError(f"lag holds back by the cursor, so it needs one. Got lag {self.lag:g}")
        return self


class PagePagination(Settings):
    """Pages by number, until one has no records."""

    by: Literal["page"]
    parameter: ColumnName = "page"
    first: Annotated[int, Field(ge=0)] = 1


class LinkPagination(Settings):
    """Each page names the next one's address, in its body or in the `Link` header."""

    by: Literal["link"]
    path: Annotated[str, Field(min_length=1)] | None = None
    """Where in the body the address stands, such as `links.next`; without it, the header's `rel="next"`."""


class CursorPagination(Settings):
    """What the next page is asked for with: a token in the body, or a field of the page's last record."""

    by: Literal["cursor"]
    parameter: ColumnName
    path: Annotated[str, Field(min_length=1)] | None = None
    """Where in the body the token stands, such as `meta.next_cursor`; null or absent on the last page."""
    field: Annotated[str, Field(min_length=1)] | None = None
    """The records' field, such as `id`, after whose last value the next page begins: each is read once."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.path is None) == (self.field is None):
            raise ValueError("a cursor must have either `path` or `field`")
        return self


Pagination = Annotated[PagePagination | LinkPagination | CursorPagination, Field(discriminator="by")]


class HttpSettings(BaseSettings):
    """Records of an HTTP API that answers GET with JSON."""

    format: Literal["http"]
    url: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+([/?#]|$)")]
    """No other host than this one's is ever asked."""
    records: str = ""
    """Where in the body the list of records stands, such as `data.items`; empty: the body is the list."""
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Of the query, on every page."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request; secrets come from the environment, as `Bearer ${API_TOKEN}`."""
    pagination: Pagination | None = None
    """How the next page is found; without it there is one page."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    """How often a request is repeated after no answer, 429, 500, 502, 503 or 504."""
    backoff_s: Annotated[float, Field(ge=0, le=600)] = 0.5
    """The wait before the second repetition, doubled for each after it; `Retry-After` goes first."""
    max_wait_s: Annotated[float, Field(ge=0, le=86_400)] = 120
    """The longest wait before a repetition, whatever the answer asks for."""
    max_pages: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    max_page_bytes: Annotated[int, Field(ge=1, le=1_000_000_000)] = 64_000_000

    def _masked(self) -> dict[str, object]:
        headers = dict.fromkeys(self.headers, HIDDEN)
        return {"url": masked(self.url), "headers": headers, "parameters": hidden(self.parameters)}


class KafkaSettings(BaseSettings):
    """Messages of a Kafka topic whose values are JSON objects; those without a value are passed over."""

    format: Literal["kafka"]
    servers: Annotated[str, Field(min_length=1)]
    """Such as `broker-1:9092,broker-2:9092`."""
    topic: Annotated[str, Field(min_length=1, max_length=249)]
    since: datetime | None = None
    """Where a partition begins that was never read: its first message from this time on; else its first."""
    on_gap: Literal["stop", "skip"] = "stop"
    """Where the broker has deleted messages that were not read yet."""
    on_bad_value: Literal["stop", "skip"] = "stop"
    """Where a value is no JSON object."""
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """The most offsets of a piece."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30
    options: dict[str, str] = Field(default_factory=dict)
    """Further settings of librdkafka, such as `security.protocol` and `sasl.password`."""

    def _masked(self) -> dict[str, object]:
        return {"options": hidden(self.options)}


FileSettings = ParquetSettings | CsvSettings | JsonLinesSettings | TextSettings
SourceSettings = Annotated[
    ParquetSettings
    | CsvSettings
    | JsonLinesSettings
    | TextSettings
    | SqlSettings
    | DeltaSettings
    | HttpSettings
    | KafkaSettings,
    Field(discriminator="format"),
]
