from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.profile import Profile
from raypipe.data.split import Split
from raypipe.testing.serving import TINY_TASK, tiny_transform
from raypipe.training.config import TrainingSettings
from raypipe.training.frameworks import frameworks
from raypipe.training.prepared import MIN_WINDOW_ROWS, Prepared, windows_of

ROWS = pa.table({"size": [1, 2, 3, 4]})
PREPARED = Prepared(
    Split(ROWS.slice(0, 2), ROWS.slice(2, 1), ROWS.slice(3), "time", ("2026-01-02", "2026-01-03")),
    TINY_TASK,
    tiny_transform(),
    Profile.of_table(ROWS.slice(0, 2)),
)


def content(prepared: Prepared = PREPARED, data: str = "d-1", **settings: object) -> str:
    return prepared.content(data, TrainingSettings.model_validate(settings), {"numpy": "2"})


@pytest.mark.parametrize(
    "other",
    [
        content(data="d-2"),
        content(seed=1),
        content(budget={"trials": 25}),
        content(replace(PREPARED, champion="v1")),
        content(replace(PREPARED, windows=(200,))),
        content(replace(PREPARED, task=replace(TINY_TASK, metric="log_loss"))),
        content(replace(PREPARED, transform=replace(tiny_transform(), steps=tiny_transform().steps[1:]))),
        content(replace(PREPARED, split=replace(PREPARED.split, boundaries=("2026-01-01", "2026-01-03")))),
        content(replace(PREPARED, split=replace(PREPARED.split, test=ROWS))),
        PREPARED.content("d-1", TrainingSettings(), {"numpy": "3"}),
    ],
)
def test_whatever_changes_what_is_learned_changes_the_content(other: str) -> None:
    assert other != content()


def test_where_it_is_learned_does_not() -> None:
    assert content(resources={"cpus": 2, "max_concurrent": 7}) == content() == content()


@given(n_rows=st.integers(1, 1_000_000))
def test_windows_look_back_over_all_rows_and_a_few_of_the_newest(n_rows: int) -> None:
    windows = windows_of(n_rows)
    assert n_rows in windows and len(set(windows)) == len(windows)
    assert all(MIN_WINDOW_ROWS <= n <= n_rows for n in windows) or windows == (n_rows,)


def test_the_frameworks_are_those_that_are_installed() -> None:
    assert {"raypipe", "xgboost", "torch", "scikit-learn"} <= frameworks().keys()
