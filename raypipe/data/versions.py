"""A data version: which rows there are, where they came from, and what was left out; a light value type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from raypipe.core.errors import DataError, UnknownVersion
from raypipe.core.ids import Json
from raypipe.data.schema import Column

if TYPE_CHECKING:
    from raypipe.data.contract_settings import BatchViolation, Violation

ENDPOINT = "endpoint"
"""The source of rows that were captured by the endpoint."""


@dataclass(frozen=True)
class BrokenRule:
    """A rule of the contract that rows broke, and what was done with them.

    A row that breaks several rules is counted under each of them; a rule of a whole batch has no rows.
    """

    rule: str
    column: str
    """Several columns are parted by commas."""
    action: Violation | BatchViolation
    n_rows: int


@dataclass(frozen=True)
class Fragment:
    """The rows that one piece of a source gave; written once, and shared by all versions that hold them.

    `key` is equal for equal pieces under equal settings, `id` also for equal types: it names what is stored.
    Of the `n_rows` that were read, `where` left out some, `n_bad` broke the contract, `n_unlabelled` had no
    label, and `n_kept` are here.
    """

    id: str
    key: str
    recipe: str
    """Equal where a piece would give equal rows: stands for the settings that rows follow from."""
    source: str
    path: str
    """What a person recognises the piece by."""
    sha256: str
    """The digest of the piece."""
    n_bytes: int
    """As it lay at the source; 0 where that is not known."""
    n_rows: int
    n_kept: int
    n_bad: int
    n_unlabelled: int
    broken: tuple[BrokenRule, ...]
    columns: tuple[Column, ...]
    untyped: tuple[str, ...]
    """Columns in which no value was found and no type: not stored, and of whatever type the others have."""
    widened: tuple[str, ...]
    """Columns of integers that are stored as numbers, since another fragment holds numbers there."""
    unread: tuple[str, ...]
    """Columns of the source that are not kept: dropped by the config, of a type that cannot be used."""
    files: tuple[str, ...]
    """The data files of the table `rows`, in the order of their rows."""
    quarantine: tuple[str, ...]
    """The same of the table `quarantine`."""
    since: datetime | None
    """The first event time; None without rows, or without a time column."""
    until: datetime | None
    """The last event time."""
    position: Json
    """From where an appended source goes on after this piece; None for a source that is listed each time."""
    after: Json
    """The position before it."""
    n_pieces: int
    """How many pieces of the source it is made of."""
    pieces: tuple[str, ...]
    """Their digests, where several pieces of a source that is listed each time were merged."""
    ingested_at: datetime
    repeats: str = ""
    """Which rows of the fragment with this key are left out, as they repeat others; empty for none."""
    n_erased: int = 0
    """Of the rows that were read: those of erased people, which were here once or never got in."""

    @property
    def n_chosen(self) -> int:
        """The rows that `where` left."""
        return self.n_kept + self.n_unlabelled + self.n_bad

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of all its pieces, in order."""
        return self.pieces or (self.sha256,)

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values that `from_json` reads back."""
        return {
            **asdict(self),
            "since": _text(self.since),
            "until": _text(self.until),
            "ingested_at": self.ingested_at.isoformat(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Fragment:
        """Read what `to_json` wrote."""
        given: Mapping[str, Any] = dict(value)
        return cls(
            **{
                **given,
                "broken": tuple(BrokenRule(**rule) for rule in given["broken"]),
                "columns": tuple(Column.from_json(column) for column in given["columns"]),
                **{name: tuple(given[name]) for name in _TUPLES},
                "since": _time(given["since"]),
                "until": _time(given["until"]),
                "ingested_at": datetime.fromisoformat(given["ingested_at"]),
            }
        )


_TUPLES = ("untyped", "widened", "unread", "files", "quarantine", "pieces")


@dataclass(frozen=True)
class JoinedPiece:
    """A piece of a source whose columns stand beside the rows of others; it adds no row."""

    source: str
    path: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True)
class Erasure:
    """Rows of people were erased from a version that held them; whose they were is not kept."""

    id: str
    at: datetime
    n_rows: int
    """How many of this version, quarantined ones not counted."""
    reason: str

    def to_json(self) -> dict[str, Json]:
        return {"id": self.id, "at": self.at.isoformat(), "n_rows": self.n_rows, "reason": self.reason}

    @classmethod
    def from_json(cls, value: Any) -> Erasure:
        """Read what `to_json` wrote."""
        return cls(value["id"], datetime.fromisoformat(value["at"]), value["n_rows"], value["reason"])


@dataclass(frozen=True)
class DataVersion:
    """An immutable set of rows: those of its fragments, one after the other.

    `id` follows from the content: equal pieces under equal settings have an equal id, wherever they lie.
    `table_version` is the version of the pipeline's Delta table `data/rows` that holds the rows. Two things
    may happen to it later: it is removed, and has no rows and no fragments from then on, or the rows of
    people are erased from it; both are noted here.
    """

    id: str
    parent: str | None
    """The newest version when this one was made; None for the first."""
    table_version: int
    columns: tuple[Column, ...]
    unread: tuple[str, ...]
    """Columns of the sources that are not kept: dropped by the config, of a type that cannot be used."""
    n_rows: int
    broken: tuple[BrokenRule, ...]
    n_unlabelled: int
    fragments: tuple[Fragment, ...]
    created_at: datetime
    n_read: int = 0
    """How many pieces were read when it was made."""
    n_known: int = 0
    """How many were not, since their rows were there already."""
    chains: Mapping[str, str] = field(default_factory=dict)
    """For each source the digest over the digests of all its pieces, in order."""
    n_new_rows: int = 0
    """How many rows were read at the sources that no version before held."""
    joined: tuple[JoinedPiece, ...] = ()
    removed_at: datetime | None = None
    erased: tuple[Erasure, ...] = ()

    @property
    def content(self) -> str:
        """What names the rows that are here now: the id, and what was erased since."""
        return "+".join([self.id, *(one.id for one in self.erased)])

    @property
    def n_erased(self) -> int:
        """Rows of its pieces that are not here, since they were of erased people."""
        return sum(one.n_erased for one in self.fragments)

    @property
    def state(self) -> str:
        """What became of it, in a word; empty for a version as it was made."""
        if self.removed_at is not None:
            return "removed"
        return "erased" if self.erased else ""

    def to_json(self) -> Json:
        """Return plain JSON values that `from_json` reads back."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "chains": dict(self.chains),
            "columns": [column.to_json() for column in self.columns],
            "unread": list(self.unread),
            "broken": [asdict(rule) for rule in self.broken],
            "fragments": [fragment.to_json() for fragment in self.fragments],
            "joined": [asdict(piece) for piece in self.joined],
            "created_at": self.created_at.isoformat(),
            "removed_at": _text(self.removed_at),
            "erased": [one.to_json() for one in self.erased],
        }

    @classmethod
    def from_json(cls, value: Any) -> DataVersion:
        """Read what `to_json` wrote."""
        given: Mapping[str, Any] = dict(value)
        rules: Sequence[Mapping[str, Any]] = given["broken"]
        return cls(
            **{
                **given,
                "columns": tuple(Column.from_json(column) for column in given["columns"]),
                "unread": tuple(given["unread"]),
                "broken": tuple(BrokenRule(**rule) for rule in rules),
                "fragments": tuple(Fragment.from_json(fragment) for fragment in given["fragments"]),
                "joined": tuple(JoinedPiece(**piece) for piece in given["joined"]),
                "created_at": datetime.fromisoformat(given["created_at"]),
                "removed_at": _time(given.get("removed_at")),
                "erased": tuple(Erasure.from_json(one) for one in given.get("erased", ())),
            }
        )


@dataclass(frozen=True)
class Change:
    """What became of versions and fragments, and the entry of the ledger that tells it."""

    kind: str
    subject: str
    detail: Json
    versions: tuple[DataVersion, ...] = ()
    """As they are from now on."""
    fragments: tuple[Fragment, ...] = ()
    """As they are from now on."""
    forgotten: tuple[str, ...] = ()
    """The ids of fragments that are none any more."""


class Versions(Protocol):
    """The record of a pipeline's data versions; the registry keeps one."""

    def all(self) -> tuple[DataVersion, ...]:
        """Return all versions, newest first."""
        ...

    def fragments(self) -> tuple[Fragment, ...]:
        """Return all fragments that are kept, also those of no version yet."""
        ...

    def keep(self, fragment: Fragment) -> None:
        """Record a fragment whose rows are stored, so that it is not read again."""
        ...

    def add(self, version: DataVersion) -> None:
        """Record a version and its fragments; one that is known already changes nothing.

        One that was removed becomes the newest, with what was erased from it before.
        """
        ...

    def change(self, change: Change) -> None:
        """Record what became of versions and fragments, all of it or nothing."""
        ...


def of_id(versions: Sequence[DataVersion], id: str) -> DataVersion | None:
    """Return the version with an id."""
    return next((version for version in versions if version.id == id), None)


def readable(versions: Sequence[DataVersion], id: str) -> DataVersion:
    """Return the version with an id whose rows are there; raises UnknownVersion and DataError."""
    found = of_id(versions, id)
    if found is None:
        known = ", ".join(one.id for one in versions if one.removed_at is None) or "none yet"
        raise UnknownVersion(f"the data version must be one of those there are ({known}). Got {id!r}.")
    if found.removed_at is not None:
        raise DataError(
            f"{id} was removed on {found.removed_at:%Y-%m-%d %H:%M:%S} UTC by `raypipe data gc`, and its "
            "rows are gone; choose one that `raypipe data log` does not call removed."
        )
    return found


def held_fragments(versions: Sequence[DataVersion], fragments: Sequence[Fragment]) -> list[Fragment]:
    """Return the fragments that these versions need: what they hold, and what that was copied from."""
    parts = [part for one in versions for part in one.fragments]
    needed, copied = {part.id for part in parts}, {part.key for part in parts if part.repeats}
    return [one for one in fragments if one.id in needed or (one.key in copied and not one.repeats)]


def total_broken(fragments: Sequence[Fragment]) -> tuple[BrokenRule, ...]:
    """Return the broken rules of all fragments, each once with its rows added up."""
    found: dict[tuple[str, str, str], BrokenRule] = {}
    for rule in (rule for fragment in fragments for rule in fragment.broken):
        key = (rule.rule, rule.column, rule.action)
        before = found[key].n_rows if key in found else 0
        found[key] = replace(rule, n_rows=before + rule.n_rows)
    return tuple(found.values())


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
