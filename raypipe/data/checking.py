"""Which rules of the contract rows break, found out without keeping anything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import dropwhile
from pathlib import Path

import polars as pl
import pyarrow as pa

from raypipe.core.errors import ConfigError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.batch_rules import batches_before, odd_volume_told, stale_since
from raypipe.data.canonical import TYPES, widen
from raypipe.data.config import DataSettings
from raypipe.data.contract import check, check_contract, rules_of, setting_aside
from raypipe.data.contract_settings import BatchViolation, ContractSettings, Violation
from raypipe.data.feeds import feeds_of
from raypipe.data.fragments import read_fragments
from raypipe.data.keys import KeyStore
from raypipe.data.news import News
from raypipe.data.pieces import Accepted
from raypipe.data.schema import Column, ColumnKind, kind_of
from raypipe.data.sources.config import CsvSettings, JsonLinesSettings, ParquetSettings, TextSettings
from raypipe.data.sources.source import PLACE_COLUMN, SOURCE_COLUMN
from raypipe.data.uniqueness import TEXT, KeyIndex, key_columns
from raypipe.data.versions import BrokenRule, DataVersion

N_EXAMPLES = 3
_FILES = (CsvSettings, JsonLinesSettings, ParquetSettings, TextSettings)


@dataclass(frozen=True)
class Example:
    """A row that breaks a rule; `row` is its JSON, empty where only the key was looked at."""

    piece: str
    value: str | None
    row: str


@dataclass(frozen=True)
class Finding:
    """A rule that is broken, and what the contract would do with its rows."""

    rule: str
    column: str
    action: Violation | BatchViolation
    n_rows: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Findings:
    """What of so many rows broke the contract."""

    n_rows: int
    n_bad: int
    broken: tuple[Finding, ...]

    def to_json(self) -> Json:
        return asdict(self)


def check_sources(
    settings: DataSettings,
    *,
    now: datetime,
    history: Sequence[DataVersion] = (),
    paths: Sequence[str] = (),
    progress: Progress = silent,
) -> Findings:
    """Check what the sources hold now, or else files at `paths` as the first source of files reads them.

    `history` are the data versions there are, newest first: what they lack is the batch that `volume` is
    about, or else the files at `paths` are. One piece is in memory at a time. Raises SourceError,
    SchemaError, DataError and ConfigError.
    """
    check_contract(settings.contract)
    chosen = _at(settings, paths)
    lenient = chosen.model_copy(update={"contract": setting_aside(settings.contract)})
    with _Tally(settings) as tally:
        news = News.of(chosen, history, progress, all_is_new=bool(paths))
        for feed in feeds_of(lenient, progress).feeds:
            for piece in feed.source.pieces(None):
                progress(Step("collect", f"checking {piece.name}"))
                rows = feed.read(piece)
                news.note(feed, piece, rows)
                tally.add(piece.name, feed.accept(rows, tally.kinds))
            news.end(feed)
        return tally.findings(now, news.n_rows, news.before)


def check_version(
    folder: PipelineHome,
    version: DataVersion,
    settings: DataSettings,
    *,
    now: datetime,
    history: Sequence[DataVersion] = (),
) -> Findings:
    """Check the rows of a data version, and how many it brought to those before it in `history`.

    Raises ConfigError, and DataError where the rows are gone.
    """
    check_contract(settings.contract)
    lenient = setting_aside(settings.contract)
    older = list(dropwhile(lambda one: one.id != version.id, history))[1:]
    with _Tally(settings) as tally:
        for fragment, rows in read_fragments(folder, version):
            frame = pl.DataFrame(pl.from_arrow(rows)).with_row_index(PLACE_COLUMN)
            frame = frame.with_columns(pl.lit(fragment.source).alias(SOURCE_COLUMN))
            found = check(frame, rules_of(lenient, frame.schema))
            kept = found.accepted.drop(SOURCE_COLUMN, PLACE_COLUMN)
            accepted = Accepted(kept, (), (), frame.height, found.n_bad, 0, found.broken, found.quarantined)
            tally.add(fragment.path, accepted)
        before = batches_before(older, frozenset(one.recipe for one in version.fragments))
        return tally.findings(now, version.n_new_rows, before)


class _Tally:
    """What was found in the pieces so far; the keys of their rows lie in a folder of its own."""

    def __init__(self, settings: DataSettings) -> None:
        self.kinds: dict[str, ColumnKind] = {}
        self._settings = settings
        self._scratch = tempfile.TemporaryDirectory(prefix="raypipe-check-")
        self._found: dict[tuple[str, str], Finding] = {}
        self._pieces: list[str] = []
        self._n_rows = self._n_chosen = self._n_bad = self._n_kept = 0
        self._newest: datetime | None = None

    def __enter__(self) -> _Tally:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def add(self, piece: str, accepted: Accepted) -> None:
        """Count what a piece broke, and keep the keys of its rows."""
        self._n_rows += accepted.n_rows
        self._n_bad += accepted.n_bad
        self._n_kept += accepted.rows.height
        self._n_chosen += accepted.rows.height + accepted.n_bad + accepted.n_unlabelled
        for one in accepted.broken:
            self._count(one, list(_examples(piece, accepted.quarantined, one)))
        time = self._settings.time
        if self._settings.contract.freshness is not None and time is not None and accepted.rows.height:
            (newest,) = accepted.rows.select(pl.col(time).max()).row(0)
            self._newest = newest if self._newest is None else max(newest, self._newest)
        self._note(accepted)
        names = {name for rule in self._settings.contract.unique for name in rule.by}
        if names:
            known = [name for name in accepted.rows.columns if name in names]
            accepted.rows.select(known).write_parquet(self._keys_of(len(self._pieces)))
        self._pieces.append(piece)

    def findings(self, now: datetime, n_new: int, before: Sequence[int]) -> Findings:
        """Return what is broken, rules over all rows and of a batch of `n_new` rows as well."""
        contract, time = self._settings.contract, self._settings.time
        columns = [Column(name, kind, nullable=True) for name, kind in self.kinds.items()]
        for number, rule in enumerate(contract.unique):
            index = KeyIndex(KeyStore(Path(self._scratch.name), key_columns(rule, number, columns)))
            for place in range(len(self._pieces)):
                self._look_up(index, place, rule.on_violation)
        broken = list(self._found.values())
        if contract.freshness is not None and time is not None and self._newest is not None:
            told = stale_since(contract.freshness, self._newest, now)
            if told is not None:
                broken.append(Finding(": ".join(told), time, contract.freshness.on_violation, 0, ()))
        if contract.volume is not None:
            told = odd_volume_told(contract.volume, n_new, before)
            if told is not None:
                broken.append(Finding(": ".join(told), "", contract.volume.on_violation, 0, ()))
        return Findings(self._n_rows, self._n_bad, (*broken, *self._refusals()))

    def _refusals(self) -> Iterator[Finding]:
        contract = self._settings.contract
        if self._n_bad > contract.max_bad_ratio * self._n_chosen:
            found = f"{self._n_bad:,} of {self._n_chosen:,} rows break the contract"
            yield Finding(f"max_bad_ratio {contract.max_bad_ratio:g}: {found}", "", "stop", 0, ())
        if self._n_kept < contract.min_rows:
            yield Finding(f"min_rows {contract.min_rows:,}: {self._n_kept:,} are left", "", "stop", 0, ())

    def _look_up(self, index: KeyIndex, place: int, action: Violation) -> None:
        columns = index.store.columns
        keys = _typed(pl.read_parquet(self._keys_of(place)), columns)
        repeated = index.add(index.store.runs(f"{place}", keys.height, [keys]))
        if not len(repeated):
            return
        self._n_bad, self._n_kept = self._n_bad + len(repeated), self._n_kept - len(repeated)
        shown = [
            Example(self._pieces[place], ", ".join(str(value) for value in row), "")
            for row in keys[repeated[:N_EXAMPLES]].rows()
        ]
        self._count(BrokenRule(TEXT, ", ".join(one.name for one in columns), action, len(repeated)), shown)

    def _count(self, one: BrokenRule, examples: list[Example]) -> None:
        key = (one.rule, one.column)
        action = one.action if one.rule == TEXT else _action(self._settings.contract, one)
        before = self._found.get(key) or Finding(one.rule, one.column, action, 0, ())
        self._found[key] = replace(
            before,
            n_rows=before.n_rows + one.n_rows,
            examples=(*before.examples, *examples)[:N_EXAMPLES],
        )

    def _note(self, accepted: Accepted) -> None:
        """Note what columns hold, so that those without values in a later piece have a type."""
        for field in accepted.rows.head(0).to_arrow().schema:
            if field.name not in accepted.untyped and not pa.types.is_null(field.type):
                kind = kind_of(field.type)
                known = self.kinds.setdefault(field.name, kind)
                if widen(TYPES[known], TYPES[kind]) == TYPES["number"]:
                    self.kinds[field.name] = "number"

    def _keys_of(self, place: int) -> Path:
        return Path(self._scratch.name) / f"{place}.parquet"


def _at(settings: DataSettings, paths: Sequence[str]) -> DataSettings:
    """Return settings whose rows are those of files at these paths, where there are any."""
    if not paths:
        return settings
    first = next((one for one in settings.sources if one.join is None and isinstance(one, _FILES)), None)
    if first is None:
        raise ConfigError("PATHS are read as a source of files is, but data.sources has none.")
    joined = [one for one in settings.sources if one.join is not None]
    read = [
        first.model_copy(update={"path": path, "name": f"{first.name}-{number}"})
        for number, path in enumerate(paths)
    ]
    return settings.model_copy(update={"sources": (*read, *joined)})


def _action(contract: ContractSettings, one: BrokenRule) -> Violation | BatchViolation:
    rows: Mapping[str, Violation] = {f"must be {rule.must}": rule.on_violation for rule in contract.rows}
    if one.rule in rows:
        return rows[one.rule]
    return contract.columns[one.column].on_violation if one.column in contract.columns else one.action


def _examples(piece: str, quarantined: pl.DataFrame, one: BrokenRule) -> Iterable[Example]:
    of_rule = quarantined.filter(rule=one.rule, column=one.column).head(N_EXAMPLES)
    return (Example(piece, value, row) for value, row in of_rule.select("value", "row").rows())


def _typed(keys: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """Return key columns in the types that they have in all pieces together."""
    types = {one.name: pl.Series(pl.from_arrow(pa.array([], TYPES[one.kind]))).dtype for one in columns}
    return keys.select(
        (pl.col(name) if name in keys.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in types.items()
    )
