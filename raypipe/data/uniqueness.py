"""Keys that are in one row only: rows that repeat a row before them in the version are left out.

What repeats depends on the rows before, so it is settled for each version once its fragments are known: a
fragment stays as it was read, and where rows of it repeat, the version holds a copy without them. Digests
that are sorted on disk tell (see `raypipe.data.keys`), and what was settled for the first fragments of a
version is not settled again where the next one begins with the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.errors import ConfigError
from raypipe.core.files import LOCAL_DISK, make_durable_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, canonical_json, content_id, sha256_bytes
from raypipe.data.contract import set_aside, stopped
from raypipe.data.contract_settings import UniqueRule, Violation
from raypipe.data.fragments import QUARANTINE, fragment_schema, quarantine_rows, schema_of, store
from raypipe.data.keys import KeyStore, Mask, Places, Run, keys_name
from raypipe.data.live import ID_COLUMN
from raypipe.data.names import suggest
from raypipe.data.profiles import keep_profile
from raypipe.data.schema import Column
from raypipe.data.sources.source import INGESTED_COLUMN, PLACE_COLUMN
from raypipe.data.table import read_files, scan_files
from raypipe.data.versions import BrokenRule, Fragment

TEXT = "must be unique"
Repeats = Mapping[int, Places]
"""For each rule, by its number, the places in a fragment of the rows that repeat another."""


@dataclass
class KeyIndex:
    """Which keys there were, for one rule, in the rows seen so far."""

    store: KeyStore
    _runs: list[Run] = field(default_factory=list)

    def extend(self, runs: Sequence[Run]) -> None:
        """Add rows of which it is known what they repeat."""
        self._runs.extend(runs)

    def add(self, runs: Sequence[Run]) -> Places:
        """Add the rows of a fragment, and return the places of those that repeat a row before, in order."""
        repeated = []
        for run in runs:
            found = run.repeated()
            for before in self._runs:
                found |= before.holds(run)
            repeated.append(run.place[found])
            self._runs.append(run)
        return np.sort(np.concatenate(repeated)) if repeated else np.empty(0, np.int64)

    def holds(self, keys: pl.DataFrame) -> list[bool]:
        """Return for each row, in order, whether its key was in a row seen so far."""
        run = self.store.digests(keys)
        found = np.zeros(keys.height, dtype=bool)
        for before in self._runs:
            found[run.place[before.holds(run)]] = True
        return [bool(one) for one in found]


def key_columns(rule: UniqueRule, number: int, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of a rule in a version; raises ConfigError for one that it lacks."""
    by_name = {column.name: column for column in columns}
    for name in rule.by:
        if name not in by_name:
            raise ConfigError(
                f"data.contract.unique[{number}] names {name!r}, which is no column; "
                f"{suggest(name, list(by_name))}"
            )
    return tuple(by_name[name] for name in rule.by)


def fragment_runs(folder: PipelineHome, index: KeyStore, fragment: Fragment) -> list[Run]:
    """Return the keys of a fragment's rows, from the disk or else from the rows; raises DataError."""
    schema = schema_of(index.columns, [one.name for one in index.columns])
    batches = (
        pl.DataFrame(pl.from_arrow(batch)) for batch in scan_files(folder.rows, fragment.files, schema)
    )
    return index.runs(keys_name(fragment), fragment.n_kept, batches)


@dataclass(frozen=True)
class Settled:
    """What a version holds: its fragments, and those that some of these are copies of."""

    fragments: list[Fragment]
    originals: tuple[Fragment, ...]


class Uniqueness:
    """The rules of a contract on keys, over the fragments of a version."""

    def __init__(
        self,
        folder: PipelineHome,
        rules: Sequence[UniqueRule],
        columns: Sequence[Column],
        *,
        time: str | None,
        sets_aside: Callable[[Fragment], bool],
    ) -> None:
        """`sets_aside` says of which fragments the rows are set aside where a rule says stop."""
        self._folder = folder
        self._rules = rules
        self._time = time
        self._sets_aside = sets_aside
        self._indexes = [
            KeyIndex(KeyStore(folder.keys, key_columns(rule, number, columns)))
            for number, rule in enumerate(rules)
        ]

    def settle(self, fragments: Sequence[Fragment], known: Sequence[Fragment]) -> Settled:
        """Return the fragments without rows that repeat others; `known` are all that are stored.

        Raises ContractError where a rule stops the batch, DataError and StorageError.
        """
        stored = {one.id: one for one in (*known, *fragments) if self._is_whole(one)}
        before, contexts, found = self._before(), dict[str, str](), list[Fragment]()
        context = content_id("k", self._identity)
        for one in fragments:
            context = content_id("k", [context, keys_name(one), self._sets_aside(one)])
            runs = [fragment_runs(self._folder, index.store, one) for index in self._indexes]
            settled = stored.get(before.get(context, ""))
            if settled is None:
                settled = self._without(one, self._repeats(runs), stored)
            else:
                self._pass(runs)
            found.append(settled)
            contexts[context] = settled.id
        if contexts != before:
            self._remember(contexts)
        copied = [one for one, settled in zip(fragments, found, strict=True) if one.id != settled.id]
        return Settled(found, tuple(copied))

    @property
    def _identity(self) -> Json:
        rules = [rule.model_dump(mode="json") for rule in self._rules]
        return [rules, [index.store.id for index in self._indexes]]

    def _is_whole(self, fragment: Fragment) -> bool:
        return all((self._folder.rows / name).exists() for name in fragment.files)

    def _before(self) -> dict[str, str]:
        """Return what was settled for the newest version: by all fragments up to one, what stands for it."""
        try:
            return dict(json.loads(self._memory.read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}

    def _remember(self, contexts: Mapping[str, str]) -> None:
        with storage_errors(self._memory):
            make_durable_folder(self._memory.parent)
            LOCAL_DISK.write_atomic(self._memory, json.dumps(contexts).encode())

    @property
    def _memory(self) -> Path:
        return self._folder.keys / "settled.json"

    def _repeats(self, runs: Sequence[Sequence[Run]]) -> Repeats:
        return {
            number: index.add(found)
            for number, (index, found) in enumerate(zip(self._indexes, runs, strict=True))
        }

    def _pass(self, runs: Sequence[Sequence[Run]]) -> None:
        for index, found in zip(self._indexes, runs, strict=True):
            index.extend(found)

    def _without(self, fragment: Fragment, repeats: Repeats, stored: Mapping[str, Fragment]) -> Fragment:
        """Return a fragment, or a copy without the rows that repeat others."""
        found = {number: places for number, places in repeats.items() if len(places)}
        if not found:
            return fragment
        left_out = sha256_bytes(
            canonical_json([[self._rules[n].model_dump(mode="json"), p.tolist()] for n, p in found.items()])
        )
        id = content_id("f", [keys_name(fragment), left_out, self._sets_aside(fragment)])
        return stored.get(id) or self._copy(replace(fragment, id=id, repeats=left_out), fragment, found)

    def _copy(self, made: Fragment, fragment: Fragment, repeats: Repeats) -> Fragment:
        rows = read_files(self._folder.rows, fragment.files, fragment_schema(fragment))
        frame = pl.DataFrame(pl.from_arrow(rows.drop_columns([INGESTED_COLUMN])))
        broken, aside = list(fragment.broken), []
        for number, places in repeats.items():
            rule, rows_of = self._rules[number], frame[places]
            action = self._action(rule, fragment)
            if action == "stop":
                raise stopped(TEXT, rule.by, f"data.contract.unique[{number}]", rows_of)
            broken.append(BrokenRule(TEXT, ", ".join(rule.by), action, len(places)))
            if action == "quarantine":
                aside.append(set_aside(TEXT, rule.by, rows_of.with_columns(_places(rows_of, places))))
        kept = rows.filter(pa.array(_others(rows.num_rows, repeats)))
        since, until = _ends(kept, self._time)
        n_left = rows.num_rows - kept.num_rows
        made = replace(
            made,
            n_kept=kept.num_rows,
            n_bad=fragment.n_bad + n_left,
            broken=tuple(broken),
            since=since,
            until=until,
        )
        stored = store(self._folder, made, kept, self._quarantined(fragment, aside))
        keep_profile(self._folder, stored, kept)
        return stored

    def _quarantined(self, fragment: Fragment, aside: Sequence[pl.DataFrame]) -> pa.Table:
        before = read_files(self._folder.quarantine, fragment.quarantine, QUARANTINE)
        return pa.concat_tables([before, *(quarantine_rows(rows, fragment) for rows in aside)])

    def _action(self, rule: UniqueRule, fragment: Fragment) -> Violation:
        return (
            "quarantine" if rule.on_violation == "stop" and self._sets_aside(fragment) else rule.on_violation
        )


def _places(rows: pl.DataFrame, places: Places) -> pl.Series:
    """Return what tells the rows of a piece apart that were let in at first; of live rows, their ids."""
    if ID_COLUMN in rows.columns:
        return rows[ID_COLUMN].alias(PLACE_COLUMN)
    return pl.Series(PLACE_COLUMN, [f"kept {place}" for place in places.tolist()])


def _others(n_rows: int, repeats: Repeats) -> Mask:
    found = np.ones(n_rows, dtype=bool)
    for places in repeats.values():
        found[places] = False
    return found


def _ends(rows: pa.Table, time: str | None) -> tuple[datetime | None, datetime | None]:
    if time is None or not rows.num_rows:
        return None, None
    ends = pc.min_max(rows[time]).as_py()
    return ends["min"], ends["max"]
