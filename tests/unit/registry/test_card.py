"""The card says what a person must know, in Markdown that column names cannot break."""

from __future__ import annotations

from dataclasses import replace

from raypipe.registry.card import CardColumn, CardEntry, CardPart, CardWorth, ModelCard, render_card

CARD = ModelCard(
    pipeline="flights",
    run="r-1",
    created_at="2026-01-01T00:00:00+00:00",
    label="late",
    task="classification",
    classes=("no", "yes"),
    metric="auc",
    data_version="d-0123456789ab",
    parts=(
        CardPart("train", 6000, "2013-01-01"),
        CardPart("validation", 2000, "2013-08-01"),
        CardPart("test", 2000, "2013-10-01"),
    ),
    family="xgboost",
    params={"eta": 0.3, "max_depth": 6},
    entries=(CardEntry("xgboost", 0.71234567, 0.70, 0.72), CardEntry("baseline", 0.5, 0.5, 0.5)),
    baseline="baseline",
    used=(CardColumn("origin", "3 categories"),),
    left_out=(CardColumn("tail|num\nber", "4,000 distinct values"),),
    example={"origin": "JFK", "distance": 2475},
    limits=("Learned from 2013 only.",),
)


def test_every_part_is_there() -> None:
    text = render_card(CARD)
    for expected in (
        "# flights: xgboost of run r-1",
        "`late` (classification), with a probability for each of: `no`, `yes`",
        "Data version `d-0123456789ab`: 10,000 rows, split by event time",
        "| test | 2,000 | 2013-10-01 |",
        "| max_depth | 6 |",
        "| xgboost (this model) | 0.7123 | 0.7 to 0.72 |",
        "Its interval and the baseline's do not overlap.",
        "| `origin` | 3 categories |",
        "`POST /flights/predict`",
        '"origin": "JFK"',
        "- Learned from 2013 only.",
    ):
        assert expected in text


def test_what_columns_are_worth_is_there_with_what_is_suspicious() -> None:
    assert "Not measured." in render_card(CARD)
    worth = (CardWorth("dep|time", 0.3, 0.25, 0.35, ("leak",)), CardWorth("origin", 0.0, -0.01, 0.01))
    text = render_card(
        replace(CARD, worth=worth, worth_measured_on="Measured on 500 rows.", findings=("leak: dep|time.",))
    )
    assert "Measured on 500 rows.\n\n| column | loss of auc without it | interval | flags |" in text
    assert "| `dep\\|time` | 0.3 | 0.25 to 0.35 | leak |" in text
    assert "\n- leak: dep|time." in text


def test_a_name_cannot_break_a_table() -> None:
    assert "| `tail\\|num ber` | 4,000 distinct values |" in render_card(CARD)


def test_overlap_with_the_baseline_is_said() -> None:
    close = replace(CARD, entries=(CardEntry("xgboost", 0.51, 0.49, 0.53), CARD.entries[1]))
    assert "do not show that it is better" in render_card(close)


def test_a_baseline_that_won_is_no_comparison() -> None:
    alone = replace(CARD, family="baseline", entries=(CARD.entries[1],))
    assert "No other model was measured" in render_card(alone)


def test_number_random_split_and_nothing_left_out() -> None:
    parts = tuple(replace(part, start="") for part in CARD.parts)
    text = render_card(
        replace(CARD, task="regression", classes=(), parts=parts, left_out=(), limits=(), params={})
    )
    assert "The number `late` (regression)." in text
    assert "split by random" in text
    assert "## Columns left out\n\nNone." in text
    assert "None were stated." in text
