"""The model card: what a person should know of a model version before trusting it, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raypipe.core.ids import Json


@dataclass(frozen=True)
class CardEntry:
    """A line of the leaderboard: the test metric of a family's best model, with its interval."""

    family: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CardColumn:
    """A column, and how it was used or why it was left out."""

    name: str
    note: str


@dataclass(frozen=True)
class CardPart:
    """A part of the rows; `start` is the event time at which it begins, empty for a random split."""

    name: str
    n_rows: int
    start: str = ""


@dataclass(frozen=True)
class CardWorth:
    """What a column is worth to the model: by how much the metric worsens without it, with its interval."""

    column: str
    value: float
    low: float
    high: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """What a card says; `entries` holds the baseline too, `classes` is empty for a number to predict."""

    pipeline: str
    run: str
    created_at: str
    label: str
    task: str
    classes: tuple[str, ...]
    metric: str
    data_version: str
    parts: tuple[CardPart, ...]
    family: str
    params: Mapping[str, Json]
    entries: tuple[CardEntry, ...]
    baseline: str
    used: tuple[CardColumn, ...]
    left_out: tuple[CardColumn, ...]
    example: Mapping[str, Json]
    limits: tuple[str, ...]
    worth: tuple[CardWorth, ...] = ()
    """The columns, the one that matters most first; none where it was not measured."""
    worth_measured_on: str = ""
    findings: tuple[str, ...] = ()
    """What is suspicious about columns, a sentence each."""


def render_card(card: ModelCard) -> str:
    """Return the card as Markdown."""
    sections = (
        _title(card),
        _section("What it predicts", _prediction(card)),
        _section("Rows", _rows(card)),
        _section("Model", _model(card)),
        _section(f"Test {card.metric}, with intervals", _leaderboard(card)),
        _section("What the columns are worth", _worth(card)),
        _section("Columns used", _columns(card.used, "how")),
        _section("Columns left out", _columns(card.left_out, "why")),
        _section("How to call it", _call(card)),
        _section("Limits", _limits(card)),
    )
    return "\n\n".join(sections) + "\n"


def _title(card: ModelCard) -> str:
    return f"# {card.pipeline}: {card.family} of run {card.run}\n\nMade {card.created_at} by raypipe."


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _prediction(card: ModelCard) -> str:
    if not card.classes:
        return f"The number `{card.label}` ({card.task})."
    classes = ", ".join(f"`{name}`" for name in card.classes)
    return f"`{card.label}` ({card.task}), with a probability for each of: {classes}."


def _rows(card: ModelCard) -> str:
    total = sum(part.n_rows for part in card.parts)
    by = "event time, each part newer than the one before" if any(p.start for p in card.parts) else "random"
    rows = [(part.name, f"{part.n_rows:,}", part.start or "-") for part in card.parts]
    table = _table(("part", "rows", "starts at"), rows)
    return f"Data version `{card.data_version}`: {total:,} rows, split by {by}.\n\n{table}"


def _model(card: ModelCard) -> str:
    params = [(name, json.dumps(value, ensure_ascii=False)) for name, value in sorted(card.params.items())]
    return f"Family `{card.family}`.\n\n{_table(('parameter', 'value'), params)}"


def _leaderboard(card: ModelCard) -> str:
    rows = [
        (entry.family + (" (this model)" if entry.family == card.family else ""), *_numbers(entry))
        for entry in card.entries
    ]
    return f"{_table(('family', 'value', 'interval'), rows)}\n\n{_verdict(card)}"


def _numbers(entry: CardEntry) -> tuple[str, str]:
    return f"{entry.value:.4g}", f"{entry.low:.4g} to {entry.high:.4g}"


def _verdict(card: ModelCard) -> str:
    by_family = {entry.family: entry for entry in card.entries}
    model, baseline = by_family.get(card.family), by_family.get(card.baseline)
    if model is None or baseline is None or model is baseline:
        return "No other model was measured beside the baseline."
    if model.low <= baseline.high and baseline.low <= model.high:
        return "Its interval overlaps the baseline's: these rows do not show that it is better."
    return "Its interval and the baseline's do not overlap."


def _worth(card: ModelCard) -> str:
    if not card.worth:
        return "Not measured."
    rows = [
        (f"`{one.column}`", f"{one.value:.4g}", f"{one.low:.4g} to {one.high:.4g}", ", ".join(one.flags))
        for one in card.worth
    ]
    table = _table(("column", f"loss of {card.metric} without it", "interval", "flags"), rows)
    findings = "\n".join(f"- {finding}" for finding in card.findings)
    return "\n\n".join(part for part in (card.worth_measured_on, table, findings) if part)


def _columns(columns: Sequence[CardColumn], note: str) -> str:
    if not columns:
        return "None."
    return _table(("column", note), [(f"`{column.name}`", column.note) for column in columns])


def _call(card: ModelCard) -> str:
    body = json.dumps({"rows": [dict(card.example)]}, indent=2, ensure_ascii=False)
    return f"`POST /{card.pipeline}/predict` with `Content-Type: application/json`:\n\n```json\n{body}\n```"


def _limits(card: ModelCard) -> str:
    return "\n".join(f"- {limit}" for limit in card.limits) or "- None were stated."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
