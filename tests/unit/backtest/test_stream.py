"""Which labels are known when, and which rows are history."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.backtest.settings import BacktestSettings, Delay
from raypipe.backtest.stream import arrivals_of, stream_of
from raypipe.core.errors import ConfigError, DataError
from raypipe.data.schema import schema_columns
from tests.unit.backtest.recorded import START, rows


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("0", Delay(0, "rows")),
        ("500 rows", Delay(500, "rows")),
        ("4 looks", Delay(4, "looks")),
        ("90s", Delay(90, "s")),
        ("1.5 h", Delay(5400, "s")),
        ("7d", Delay(604_800, "s")),
    ],
)
def test_a_delay_is_read_from_text(text: str, delay: Delay) -> None:
    assert Delay.read(text) == delay == Delay.read(delay.text)


@pytest.mark.parametrize("text", ["", "late", "-1 rows", "3 weeks", "nan s"])
def test_other_delays_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="label delay of a backtest must be"):
        Delay.read(text)


@settings(max_examples=50)
@given(
    gaps=st.lists(st.integers(0, 5), min_size=12, max_size=30),
    delay=st.one_of(
        st.builds(Delay, st.integers(0, 9), st.just("rows")),
        st.builds(Delay, st.integers(0, 4), st.just("looks")),
        st.builds(Delay, st.integers(0, 20), st.just("s")),
    ),
)
def test_labels_are_known_no_sooner_than_they_come(gaps: list[int], delay: Delay) -> None:
    times = np.cumsum(gaps) * 1_000_000
    n, n_history = len(times), 4
    ends = [*range(n_history + 2, n, 2), n]
    found = arrivals_of(times, n_history, ends, delay)
    assert (np.diff(found) >= 0).all()
    assert (found[:n_history] == 0).all()
    look = np.searchsorted(ends, np.arange(n), side="right")
    for row in range(n_history, n):
        for n_answered in range(row + 1, n + 1):
            match delay.unit:
                case "rows":
                    is_there = n_answered - 1 - row >= delay.amount
                case "looks":
                    is_there = n_answered >= ([*ends, n + 1][min(int(look[row] + delay.amount), len(ends))])
                case "s":
                    is_there = times[n_answered - 1] - times[row] >= delay.amount * 1e6
            assert (found[row] <= n_answered) == is_there
        assert found[row] > row


def test_rows_are_put_in_order_and_cut_where_one_says() -> None:
    table = rows(400)
    mixed = table.take(np.random.default_rng(0).permutation(400))
    start = START + timedelta(hours=100)
    found = stream_of(mixed, schema_columns(table.schema), "at", BacktestSettings(start=start, looks=10))
    assert found.rows.equals(table)
    assert (found.n_history, found.ends[0], found.ends[-1], found.at(100)) == (100, 130, 400, start)


def test_too_few_rows_are_refused_in_a_sentence() -> None:
    table = rows(300)
    with pytest.raises(DataError, match=r"needs older rows to learn from.* Got 75 and 225 of 300"):
        stream_of(table, schema_columns(table.schema), "at", BacktestSettings())
    with pytest.raises(DataError, match="Got 0 and 300"):
        stream_of(table, schema_columns(table.schema), "at", BacktestSettings(start=START, looks=10))


@pytest.mark.parametrize(
    "wrong",
    [{"share": 1.0}, {"looks": 1}, {"looks": 9_999}, {"every": (0,)}, {"naive": (float("nan"),)}],
)
def test_settings_have_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} of a backtest must be"):
        BacktestSettings(**wrong)  # type: ignore[arg-type]
