"""A contract proposed from the profile of a data version, with the evidence for each rule."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import polars as pl
import yaml

from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.config import DataSettings
from raypipe.data.fragments import read_fragments
from raypipe.data.keys import KeyStore
from raypipe.data.profile import ColumnProfile, Profile
from raypipe.data.profiles import version_profile
from raypipe.data.schema import Column
from raypipe.data.uniqueness import KeyIndex
from raypipe.data.versions import DataVersion

MAX_ALLOWED = 20
"""So many distinct texts may be listed as those that are allowed."""
MIN_TIMES = 10
"""So often, on average, must each of them occur."""
MIN_UNIQUE_ROWS = 100
"""In so many rows must a column be without repeats to be taken for a key that nobody declared."""
_KEY_KINDS = ("integer", "category")
Value: TypeAlias = "bool | int | float | str | Sequence[Value]"


@dataclass(frozen=True)
class Proposed:
    """What is to stand at a place of the contract, and why."""

    place: str
    """Of a column its name, for other rules the key of the contract."""
    rule: Mapping[str, Value] | int
    evidence: str


@dataclass(frozen=True)
class Suggestion:
    """A contract that the rows of a version keep."""

    version: str
    n_rows: int
    columns: tuple[Proposed, ...]
    unique: tuple[Proposed, ...]
    min_rows: Proposed
    remarks: tuple[str, ...]
    """Rules that cannot be read off one version, as YAML to fill in."""

    def to_json(self) -> Json:
        return asdict(self)


def suggest(folder: PipelineHome, version: DataVersion, settings: DataSettings) -> Suggestion:
    """Propose rules that all rows of a version keep; raises DataError where they are gone."""
    profile = version_profile(folder, version)
    computed = None if isinstance(settings.label, str) else settings.label.name
    # The profile does not know rows without a label, and they lack other values as well.
    seen_in_part = version.n_unlabelled > 0
    columns = [
        found
        for one in profile.columns
        if one.name != computed and _can_stand_in_yaml(one.name)
        for found in _of_column(
            one, is_filled=seen_in_part or one.name in (settings.label_name, settings.time)
        )
    ]
    return Suggestion(
        version.id,
        profile.n_rows,
        tuple(columns),
        tuple(_unique(folder, version, profile, settings)),
        Proposed("min_rows", max(1, profile.n_rows // 2), f"half of the {profile.n_rows:,} rows"),
        tuple(_remarks(version, settings)),
    )


def to_yaml(found: Suggestion) -> Iterator[str]:
    """Yield the lines of YAML to paste into a config."""
    yield f"# Proposed from {found.version}, whose {found.n_rows:,} rows all keep it. Edit it: rows show"
    yield "# what was so far, not what may be. Without on_violation, a row that breaks a rule is set aside."
    yield "data:"
    yield "  contract:"
    if found.columns:
        yield "    columns:"
    for one in found.columns:
        yield f"      {_flow({one.place: one.rule})[1:-1]}   # {one.evidence}"
    if found.unique:
        yield "    unique:"
    for one in found.unique:
        yield f"      - {_flow(one.rule)}   # {one.evidence}"
    yield f"    min_rows: {found.min_rows.rule}   # {found.min_rows.evidence}"
    for remark in found.remarks:
        yield f"    # {remark}"


def _flow(value: object) -> str:
    return yaml.safe_dump(
        value, default_flow_style=True, width=math.inf, sort_keys=False, allow_unicode=True
    ).strip()


def _of_column(one: ColumnProfile, *, is_filled: bool) -> Iterator[Proposed]:
    """Yield the rule of a column; `is_filled` where rows without a value are left out anyway."""
    if one.n_missing == one.n_rows:
        return
    rule: dict[str, Value] = {"kind": one.column.kind}
    told = [f"{one.n_distinct:,} distinct" if one.values.is_exact else f"about {one.n_distinct:,} distinct"]
    if one.n_missing:
        told.append(f"{one.n_missing:,} of {one.n_rows:,} missing")
    else:
        told.append(f"none missing in {one.n_rows:,} rows")
        if not is_filled:
            rule["nullable"] = False
    bounds = _bounds(one)
    if bounds is not None:
        rule |= {"min": bounds[0], "max": bounds[1]}
        told.append(f"{one.min:g} to {one.max:g} seen, range widened")
    allowed = _allowed(one)
    if allowed:
        rule["allowed"] = allowed
        told.append("all that were seen")
    yield Proposed(one.name, rule, ", ".join(told))


def _bounds(one: ColumnProfile) -> tuple[float, float] | None:
    """Return the range seen, wider by its own length at each end; what had one sign keeps it."""
    if one.column.kind not in ("number", "integer") or one.n_infinite or one.min is None or one.max is None:
        return None
    margin = (one.max - one.min) or abs(one.max) or 1.0
    low = 0.0 if one.min >= 0 else _outward(one.min - margin, -1)
    high = 0.0 if one.max <= 0 else _outward(one.max + margin, 1)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _outward(value: float, sign: int) -> float:
    """Return a number of two digits that lies beyond a value."""
    if not math.isfinite(value) or value == 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    if unit == 0 or not math.isfinite(value / unit):
        return value
    found = float(f"{(math.ceil if sign > 0 else math.floor)(value / unit) * unit:.2g}")
    return found if sign * found >= sign * value else value


def _allowed(one: ColumnProfile) -> list[Value]:
    """Return the texts that were seen, where they are few and come again and again."""
    if one.column.kind != "category" or not one.values.is_exact or one.n_distinct > MAX_ALLOWED:
        return []
    if one.n_rows - one.n_missing < MIN_TIMES * one.n_distinct:
        return []
    texts = sorted(str(value) for value in one.values.counts)
    return list(texts) if all(map(_can_stand_in_yaml, texts)) else []


def _can_stand_in_yaml(text: str) -> bool:
    """Whether a text is on one line, and names no environment variable to the config."""
    return text.isprintable() and "${" not in text


def _unique(
    folder: PipelineHome, version: DataVersion, profile: Profile, settings: DataSettings
) -> Iterator[Proposed]:
    """Yield keys that no two rows have: the one that is declared, or single columns."""
    by_name = {one.name: one for one in profile.columns if _can_stand_in_yaml(one.name)}
    keys: list[list[Column]] = []
    if settings.key and by_name.keys() >= {*settings.key}:
        keys = [[by_name[name].column for name in settings.key]]
    elif not settings.key and profile.n_rows >= MIN_UNIQUE_ROWS:
        keys = [[one.column] for one in by_name.values() if _may_be_key(one, settings)]
    for key in keys:
        if not _repeats(folder, version, key):
            names = [column.name for column in key]
            evidence = f"no two of {profile.n_rows:,} rows have the same"
            yield Proposed("unique", {"by": names}, evidence + (", data.key" if settings.key else ""))


def _may_be_key(one: ColumnProfile, settings: DataSettings) -> bool:
    return (
        one.column.kind in _KEY_KINDS
        and one.name not in (settings.label_name, settings.time)
        and not one.n_missing
        and one.n_distinct >= 0.95 * one.n_rows
    )


def _repeats(folder: PipelineHome, version: DataVersion, key: Sequence[Column]) -> bool:
    with tempfile.TemporaryDirectory(prefix="raypipe-suggest-") as scratch:
        index = KeyIndex(KeyStore(Path(scratch), key))
        parts = read_fragments(folder, version, [one.name for one in key])
        return any(
            len(index.add(index.store.runs(f"{place}", rows.num_rows, [pl.DataFrame(pl.from_arrow(rows))])))
            for place, (_, rows) in enumerate(parts)
        )


def _remarks(version: DataVersion, settings: DataSettings) -> Iterator[str]:
    newest = max((one.until for one in version.fragments if one.until is not None), default=None)
    if settings.time is not None and newest is not None:
        age_s = max(0.0, (version.created_at - newest).total_seconds())
        hours = f"{age_s / 3600:,.1f} hours"
        yield f"freshness: {{max_age_s: ...}}   # {settings.time} ended {hours} before it was read"
    if version.n_new_rows:
        yield f"volume: {{max_ratio: ...}}   # the batch brought {version.n_new_rows:,} rows"
