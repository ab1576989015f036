"""Losses by blocks: sums that hold, blocks that follow from the number of windows alone."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.stats.course import N_EACH, Course


def course(sizes: list[int]) -> Course:
    found = Course()
    for n_rows in sizes:
        found = found.after(n_rows)
    return found


@given(sizes=st.lists(st.integers(1, 500), max_size=300))
def test_blocks_hold_all_windows_in_their_order_and_are_few(sizes: list[int]) -> None:
    found = course(sizes)
    lengths = [block.n_windows for block in found.blocks]
    assert (found.n_windows, sum(block.n_rows for block in found.blocks)) == (len(sizes), sum(sizes))
    assert lengths == sorted(lengths, reverse=True)
    assert all(lengths.count(length) <= N_EACH for length in set(lengths))
    for block in found.blocks:
        assert block.n_rows == sum(sizes[block.first : block.first + block.n_windows])
    assert len(lengths) <= N_EACH * max(1, math.ceil(1 + math.log2(1 + len(sizes) / N_EACH)))


@given(
    n_windows=st.integers(1, 120),
    early=st.lists(st.tuples(st.integers(0, 119), st.integers(0, 9), st.integers(0, 9))),
)
def test_what_becomes_known_counts_where_it_stands_whenever_it_comes(
    n_windows: int, early: list[tuple[int, int, int]]
) -> None:
    told = [one for one in early if one[0] < n_windows]
    late = course([10] * n_windows)
    for window, n_known, total in told:
        late = late.with_more(window, n_known, float(total))
    soon = Course()
    for window in range(n_windows):
        soon = soon.after(10)
        for place, n_known, total in told:
            soon = soon.with_more(place, n_known, float(total)) if place == window else soon
    assert soon == late
    assert Course.from_json(json.loads(json.dumps(late.to_json()))) == late


@pytest.mark.parametrize("value", [{}, [[0, 1, 2]], [["0", 1, 2, 3, 4.0]], "blocks"])
def test_what_is_no_course_is_refused(value: object) -> None:
    with pytest.raises(SchemaError, match="must"):
        Course.from_json(value)  # type: ignore[arg-type]
