"""The fragments of a version that is being made: those that are kept already, those of pieces read now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl
import pyarrow as pa

from raypipe.core.clock import Clock
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, canonical_json, content_id, sha256_bytes
from raypipe.core.progress import Progress, Step
from raypipe.data.erasure.door import let_in
from raypipe.data.erasure.records import erased_people
from raypipe.data.event_time import TIME_TYPE
from raypipe.data.feeds import Feed
from raypipe.data.fragments import (
    ORIGIN,
    fragment_schema,
    native_kinds,
    quarantine_rows,
    store,
    stored_id,
    to_widen,
    with_widened,
)
from raypipe.data.pieces import Accepted
from raypipe.data.profiles import keep_profile
from raypipe.data.schema import Column, ColumnKind, kind_of
from raypipe.data.sources.digest import digest_of
from raypipe.data.sources.source import INGESTED_COLUMN, SOURCE_COLUMN, Piece
from raypipe.data.versions import Fragment, Versions


class Gatherer:
    """Collects the fragments of one feed after the other."""

    def __init__(self, folder: PipelineHome, versions: Versions, clock: Clock, progress: Progress) -> None:
        self.fragments: list[Fragment] = []
        self.chains: dict[str, str] = {}
        self.recipes: dict[str, str] = {}
        self.n_read = 0
        self.n_known = 0
        self.history = versions.all()
        self._folder = folder
        self._versions = versions
        self._clock = clock
        self._progress = progress
        self._refused = erased_people(folder)
        self._kinds: dict[str, ColumnKind] = {}
        self._forms: dict[str, Fragment] = {}
        self._merged: dict[tuple[str, str, str], list[Fragment]] = defaultdict(list)
        self._following: dict[tuple[str, str, bytes], Fragment] = {}
        self._remember(versions.fragments())

    def gather(self, feed: Feed) -> None:
        """Add the fragments of a feed."""
        name = feed.source.name
        self.recipes[name] = feed.recipe
        if feed.source.is_appended:
            self._gather_appended(feed)
        else:
            self._gather_listed(feed)

    def in_types(self, fragment: Fragment, columns: Sequence[Column]) -> Fragment:
        """Return a fragment as it is stored in a version of these columns; writes it where it is not yet."""
        widened = to_widen(fragment, columns)
        if widened == fragment.widened:
            return fragment
        known = self._forms.get(stored_id(fragment.key, widened))
        return known or with_widened(self._folder, fragment, widened)

    def _remember(self, fragments: Sequence[Fragment]) -> None:
        """Note what need not be read; rows that a person removed must be."""
        stored = {path.name for path in self._folder.rows.glob("*.parquet")}
        for fragment in fragments:
            # A copy without some rows stands for no piece: beside other pieces these may be wanted.
            if stored.issuperset(fragment.files) and not fragment.repeats:
                self._forms[fragment.id] = fragment
                self._forms.setdefault(fragment.key, fragment)
                if fragment.pieces:
                    self._merged[fragment.source, fragment.recipe, fragment.pieces[0]].append(fragment)
                if fragment.n_pieces == 1 and fragment.position != fragment.after:
                    place = (fragment.source, fragment.recipe, canonical_json(fragment.after))
                    self._following[place] = fragment

    def _gather_listed(self, feed: Feed) -> None:
        pieces = list(feed.source.pieces(None))
        copies: Counter[str] = Counter()
        place = n_known = 0
        chain = ""
        while place < len(pieces):
            fragment = self._known_run(feed, pieces, place) or self._known_piece(feed, pieces[place], copies)
            if fragment is None:
                fragment = self._read(feed, pieces[place], len(pieces), copies)
                self._versions.keep(fragment)
            else:
                n_known += fragment.n_pieces
            for digest in fragment.digests:
                copies[digest] += 1
                chain = _chained(chain, digest)
            place += fragment.n_pieces
            self._add(fragment)
        self._end(feed, chain, len(pieces), n_known)

    def _gather_appended(self, feed: Feed) -> None:
        before, chain = self._before(feed)
        for fragment in before:
            self._add(fragment)
        position = before[-1].position if before else None
        n_known, n_new = sum(one.n_pieces for one in before), 0
        # What was read when a process ended before its commit.
        while (kept := self._following.get(_place(feed, position))) is not None:
            chain, position = _chained(chain, kept.sha256), kept.position
            self._add(kept)
            n_known += 1
        for piece in feed.source.pieces(position):
            fragment = replace(self._read(feed, piece, None, Counter()), after=position)
            self._versions.keep(fragment)
            chain, position = _chained(chain, fragment.sha256), fragment.position
            self._add(fragment)
            n_new += 1
        self._end(feed, chain, n_known + n_new, n_known)

    def _before(self, feed: Feed) -> tuple[tuple[Fragment, ...], str]:
        """Return what the newest version holds of an appended source under one recipe, as it was read."""
        name = feed.source.name
        for version in self.history:
            held = (one for one in version.fragments if one.source == name)
            found = tuple(self._forms.get(one.key, one) if one.repeats else one for one in held)
            if found and found[0].recipe == feed.recipe:
                return found, version.chains[name]
        return (), ""

    def _known_run(self, feed: Feed, pieces: Sequence[Piece], place: int) -> Fragment | None:
        """Return a merged fragment that stands for the pieces from here on."""
        first = pieces[place].digest
        for fragment in self._merged.get((feed.source.name, feed.recipe, first or ""), ()):
            run = pieces[place : place + len(fragment.pieces)]
            if tuple(piece.digest for piece in run) == fragment.pieces:
                return fragment
        return None

    def _known_piece(self, feed: Feed, piece: Piece, copies: Counter[str]) -> Fragment | None:
        if piece.digest is None:
            return None
        return self._forms.get(_key(feed, piece, piece.digest, copies[piece.digest]))

    def _read(self, feed: Feed, piece: Piece, n_pieces: int | None, copies: Counter[str]) -> Fragment:
        share = None if n_pieces is None else min(1.0, (self.n_read + 1) / n_pieces)
        self._progress(Step("collect", f"reading {piece.name}", share))
        rows = feed.read(piece)
        self.n_read += 1
        digest = piece.digest or digest_of(rows.table)
        key = _key(feed, piece, digest, copies[digest])
        if piece.digest is None and key in self._forms:
            return self._forms[key]
        accepted, n_erased = let_in(self._refused, rows, lambda those: feed.accept(those, self._kinds))
        fragment = _described(feed, piece, key, digest, accepted, self._clock.now())
        return self._keep(replace(fragment, n_erased=n_erased), accepted)

    def _keep(self, fragment: Fragment, accepted: Accepted) -> Fragment:
        rows = _stamped(accepted.rows, fragment)
        stored = store(self._folder, fragment, rows, quarantine_rows(accepted.quarantined, fragment))
        keep_profile(self._folder, stored, rows)
        return stored

    def _add(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)
        self._forms[fragment.id] = fragment
        for name, kind in native_kinds(fragment).items():
            if kind and (kind == "number" or name not in self._kinds):
                self._kinds[name] = kind

    def _end(self, feed: Feed, chain: str, n_pieces: int, n_known: int) -> None:
        name = feed.source.name
        self.chains[name] = chain
        self.n_known += n_known
        told = f"{name}: {n_pieces - n_known:,} of {n_pieces:,} fragments read, {n_known:,} known"
        self._progress(Step("collect", told))


def _key(feed: Feed, piece: Piece, digest: str, copy: int) -> str:
    """Return what names the rows of a piece: an equal piece further on, or listed twice, has another."""
    parts: dict[str, Json] = {"source": feed.source.name, "sha256": digest, "recipe": feed.recipe}
    if piece.position is not None:
        parts["position"] = piece.position
    if copy:
        parts["copy"] = copy
    return content_id("f", parts)


def _place(feed: Feed, position: Json) -> tuple[str, str, bytes]:
    return feed.source.name, feed.recipe, canonical_json(position)


def _chained(chain: str, digest: str) -> str:
    return sha256_bytes(f"{chain}{digest}".encode())


def _described(
    feed: Feed, piece: Piece, key: str, digest: str, accepted: Accepted, now: datetime
) -> Fragment:
    rows = accepted.rows
    since, until = _ends(rows, feed.time)
    return Fragment(
        id=key,
        key=key,
        recipe=feed.recipe,
        source=feed.source.name,
        path=piece.name,
        sha256=digest,
        n_bytes=piece.n_bytes,
        n_rows=accepted.n_rows,
        n_kept=rows.height,
        n_bad=accepted.n_bad,
        n_unlabelled=accepted.n_unlabelled,
        broken=accepted.broken,
        columns=_columns(rows.drop(ORIGIN, strict=False)),
        untyped=accepted.untyped,
        widened=(),
        unread=accepted.unread,
        files=(),
        quarantine=(),
        since=since,
        until=until,
        position=piece.position,
        after=None,
        n_pieces=1,
        pieces=(),
        ingested_at=now,
    )


def _columns(frame: pl.DataFrame) -> tuple[Column, ...]:
    fields = frame.head(0).to_arrow().schema
    return tuple(Column(field.name, kind_of(field.type), _has_missing(frame[field.name])) for field in fields)


def _has_missing(column: pl.Series) -> bool:
    return column.null_count() > 0 or (column.dtype.is_float() and bool(column.is_nan().any()))


def _ends(rows: pl.DataFrame, time: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last event time."""
    if time is None or not rows.height:
        return None, None
    first, last = rows.select(first=pl.col(time).min(), last=pl.col(time).max()).row(0)
    return first, last


def _stamped(rows: pl.DataFrame, fragment: Fragment) -> pa.Table:
    """Return the rows as they are stored."""
    schema = fragment_schema(fragment)
    stamped = rows.with_columns(
        pl.lit(fragment.source).alias(SOURCE_COLUMN),
        pl.lit(fragment.ingested_at).cast(TIME_TYPE).alias(INGESTED_COLUMN),
    )
    return stamped.select(schema.names).to_arrow().cast(schema)
