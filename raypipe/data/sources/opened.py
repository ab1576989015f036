"""From what the config declares to sources that can be read."""

from __future__ import annotations

from typing import assert_never

from raypipe.data.config import DataSettings
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.config import (
    CsvSettings,
    DeltaSettings,
    HttpSettings,
    JoinSettings,
    JsonLinesSettings,
    KafkaSettings,
    ParquetSettings,
    SourceSettings,
    SqlSettings,
    TextSettings,
)
from raypipe.data.sources.records import UNDECLARED, Declared
from raypipe.data.sources.source import Source


def open_sources(settings: DataSettings) -> tuple[Source, ...]:
    """Return the sources whose rows stack, in the config's order; nothing is asked of them yet."""
    declared = Declared(kinds_of(settings), settings.drop)
    return tuple(open_source(one, declared) for one in settings.sources if one.join is None)


def kinds_of(settings: DataSettings) -> dict[str, ColumnKind]:
    """Return the kinds that the contract declares."""
    return {name: rule.kind for name, rule in settings.contract.columns.items() if rule.kind}


def declared_of(settings: DataSettings, name: str, join: JoinSettings) -> Declared:
    """Return what the config says of a lookup's own columns: keys are as in the rows, others are prefixed."""
    kinds = kinds_of(settings)
    prefix = join.prefix_of(name)
    own = {column.removeprefix(prefix): kind for column, kind in kinds.items() if column.startswith(prefix)}
    keys = {theirs: kinds[ours] for ours, theirs in join.pairs if ours in kinds}
    drop = [column.removeprefix(prefix) for column in settings.drop if column.startswith(prefix)]
    return Declared({**own, **keys}, drop)


def open_source(settings: SourceSettings, declared: Declared = UNDECLARED) -> Source:
    """Return the source of one line of the config; what its format needs is imported now."""
    match settings:
        case ParquetSettings() | CsvSettings() | JsonLinesSettings() | TextSettings():
            from raypipe.data.sources.files import FileSource

            return FileSource(settings, declared)
        case SqlSettings():
            from raypipe.data.sources.sql import SqlSource

            return SqlSource(settings, declared)
        case DeltaSettings():
            from raypipe.data.sources.delta import DeltaSource

            return DeltaSource(settings)
        case HttpSettings():
            from raypipe.data.sources.http_api import HttpSource

            return HttpSource(settings, declared)
        case KafkaSettings():
            from raypipe.data.sources.kafka import KafkaSource

            return KafkaSource(settings, declared)
        case never:
            assert_never(never)
