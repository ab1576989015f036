"""Rules on what came as a whole: how old its newest row is, and how many rows a batch brings."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from raypipe.core.errors import ContractError
from raypipe.data.contract_settings import BatchViolation, FreshnessRule, VolumeRule
from raypipe.data.versions import BrokenRule, DataVersion, Fragment

N_BATCHES = 7
"""So many batches before are what is usual."""


def stale(rule: FreshnessRule, time: str, fragments: Sequence[Fragment], now: datetime) -> BrokenRule | None:
    """Return the rule where the newest event time is too old; raises ContractError where it says stop."""
    newest = max((one.until for one in fragments if one.until is not None), default=None)
    told = None if newest is None else stale_since(rule, newest, now)
    if told is None:
        return None
    return _broken(told[0], time, told[1], "data.contract.freshness", rule.on_violation)


def stale_since(rule: FreshnessRule, newest: datetime, now: datetime) -> tuple[str, str] | None:
    """Return the rule, and what is so instead, where the newest event time is too old."""
    limit = timedelta(seconds=rule.max_age_s)
    if now - newest <= limit:
        return None
    text = f"must be at most {_length(limit)} old at the newest"
    return text, f"the newest is of {newest:%Y-%m-%d %H:%M:%S} UTC, {_length(now - newest)} old"


def odd_volume(rule: VolumeRule, n_new: int, before: Sequence[int]) -> BrokenRule | None:
    """Return the rule where a batch of `n_new` rows is too small or too large beside the batches before.

    Raises ContractError where that stops a batch. Nothing new is no batch.
    """
    told = odd_volume_told(rule, n_new, before)
    return told and _broken(told[0], "", told[1], "data.contract.volume", rule.on_violation)


def odd_volume_told(rule: VolumeRule, n_new: int, before: Sequence[int]) -> tuple[str, str] | None:
    """Return the rule, and what is so instead, where a batch is too small or too large."""
    broken = _odd(rule, n_new, before) if n_new else iter(())
    return next(((text, f"it brings {n_new:,}") for text in broken), None)


def n_new_rows(fragments: Sequence[Fragment], history: Sequence[DataVersion], own: frozenset[str]) -> int:
    """Return how many rows were read of pieces that no version holds, of the sources named in `own`."""
    held = {one.key for version in history for one in version.fragments}
    return sum(one.n_rows for one in fragments if one.key not in held and one.source in own)


def batches_before(history: Sequence[DataVersion], recipes: frozenset[str]) -> list[int]:
    """Return the rows of the newest batches, newest first, that were read under the same settings.

    The first load is none of them.
    """
    alike = [
        one.n_new_rows
        for one in history
        if one.n_new_rows and any(part.recipe in recipes for part in one.fragments)
    ]
    return alike[:-1][:N_BATCHES]


def _odd(rule: VolumeRule, n_new: int, before: Sequence[int]) -> Iterator[str]:
    if rule.min_rows is not None and n_new < rule.min_rows:
        yield f"a batch must have at least {rule.min_rows:,} rows"
    if rule.max_rows is not None and n_new > rule.max_rows:
        yield f"a batch must have at most {rule.max_rows:,} rows"
    if before:
        usual = statistics.median(before)
        if rule.min_ratio is not None and n_new < rule.min_ratio * usual:
            yield f"a batch must have at least {rule.min_ratio:g} times as many rows as usual ({usual:,.0f})"
        if rule.max_ratio is not None and n_new > rule.max_ratio * usual:
            yield f"a batch must have at most {rule.max_ratio:g} times as many rows as usual ({usual:,.0f})"


def _broken(text: str, column: str, found: str, key: str, action: BatchViolation) -> BrokenRule:
    if action == "stop":
        what = f"{column!r} {text}" if column else text
        raise ContractError(f"{what}, but {found}; see to the sources, or set {key}.on_violation to warn.")
    return BrokenRule(f"{text}: {found}", column, action, 0)


def _length(time: timedelta) -> str:
    seconds = time.total_seconds()
    for unit_s, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds:.3g} seconds"
