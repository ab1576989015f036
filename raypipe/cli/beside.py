"""`raypipe models compare`: two model versions side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interval, size, table
from raypipe.core.ids import Json
from raypipe.stats.intervals import Interval

if TYPE_CHECKING:
    from raypipe.api.beside import Beside, Side
    from raypipe.training.compare import Comparison
    from raypipe.training.importance import ColumnImportance, Importance


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(compare)


def compare(
    before: Annotated[str, typer.Argument(help="The version to start from.", metavar="V1")],
    after: Annotated[str, typer.Argument(help="The version to compare with it.", metavar="V2")],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put two model versions side by side: scores, parameters, costs, what columns are worth.

    Where both learned from one data version, split alike, both are judged on its test part, and the
    difference is told with its interval.
    """
    from raypipe.cli.removal import models_of

    found = models_of(config).compare(before, after)
    emit(found.to_json(), as_json, lambda: _lines(found))


def _lines(found: Beside) -> Iterator[str]:
    before, after = found.before, found.after
    rows = [(name, was, now) for (name, was), (_, now) in zip(_side(before), _side(after), strict=True)]
    rows += [(one.name, _value(one.before), _value(one.after)) for one in found.params]
    yield from table(("", before.version, after.version), rows)
    yield ""
    if found.comparison is None:
        yield f"not judged on the same rows: {found.not_judged.rstrip('.')}."
    else:
        yield from _verdict(found.comparison)
    if found.importance is not None:
        yield ""
        yield from _importance(found.importance, before.version, after.version)


def _side(side: Side) -> Iterator[tuple[str, str]]:
    yield "family", side.family
    yield "data version", side.data_version
    yield "created", f"{side.created_at:%Y-%m-%d %H:%M:%S}"
    yield "test score", f"{side.metric} {interval(side.test)}"
    yield "test rows", f"{side.n_test_rows:,}"
    yield "one row", f"{side.predict_us:.0f} us"
    yield "size", size(side.size_bytes)
    yield "training", f"{side.train_s:.2f} s"


def _value(value: Json) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value).strip('"')


def _verdict(found: Comparison) -> Iterator[str]:
    problems = ((found.champion, found.champion_error), (found.challenger, found.challenger_error))
    said = [f"{version} could not be judged: {why.rstrip('.')}." for version, why in problems if why]
    if said or found.gain is None or found.gain_low is None or found.gain_high is None:
        yield from said or [f"{found.metric} is not defined on the {found.n_rows:,} rows that test both."]
        return
    scores = f"{found.metric} {found.champion_score:.4g} and {found.challenger_score:.4g}"
    yield f"on the {found.n_rows:,} rows that test both: {scores}"
    gain = Interval(found.gain, found.gain_low, found.gain_high)
    if gain.excludes_zero:
        yield f"{found.challenger} is {'better' if gain.value > 0 else 'worse'} by {interval(_size(gain))}"
    else:
        yield f"these rows do not tell them apart: {found.challenger} gains {interval(gain)}"


def _size(gain: Interval) -> Interval:
    """Return a gain, or a loss, without its sign."""
    return gain if gain.value > 0 else Interval(-gain.value, -gain.high, -gain.low)


def _importance(found: Importance, before: str, after: str) -> Iterator[str]:
    rows = [(one.column, _was(one), _now(one), "moved" if one.has_moved else "") for one in found.columns]
    yield f"loss of {found.metric} without the column:"
    yield from table(("column", before, after, ""), rows)


def _was(one: ColumnImportance) -> str:
    return "" if one.before is None else interval(one.before.value)


def _now(one: ColumnImportance) -> str:
    return "" if one.value is None else interval(one.value)
