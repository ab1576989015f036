"""What a backtest prints: equal seeds give equal tables, and a page that loads nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.backtest.chart import ticks
from raypipe.backtest.page import render
from raypipe.backtest.policies import Every, Naive
from raypipe.backtest.result import Prices
from raypipe.backtest.run import play
from raypipe.core.errors import TrainingError
from raypipe.policy.config import CostSettings
from tests.unit.backtest.recorded import Recorded, record


def table(recorded: Recorded) -> Any:
    """Return a result without what differs from run to run."""
    found = play(recorded.config, recorded.stream, recorded.settings)
    timeless = [replace(one, cpu_s=0.0) for one in found.policies]
    return replace(found, policies=tuple(timeless))


def test_the_same_rows_and_seed_give_the_same_table(tmp_path: Path) -> None:
    recorded = record(tmp_path, n=1_300, changes_at=400, looks=8, every=(3,), naive=(1.25, 5.0))
    found = table(recorded)
    assert json.dumps(found.to_json()) == json.dumps(table(recorded).to_json())
    by_name = {one.name: one for one in found.policies}
    assert list(by_name) == ["loop", "never", "every 3", "naive 1.25", "naive 5"]
    assert (by_name["never"].n_fits, by_name["never"].over_never.value) == (0, 0.0)
    assert (by_name["every 3"].n_fits, by_name["naive 5"].n_fits) == (2, 0)
    assert by_name["every 3"].over_never.low > 0
    assert by_name["loop"].n_released == by_name["loop"].endings["promoted"]

    page = render(found)
    assert page == render(found)
    assert "http" not in page.replace("http-equiv", "")
    for one in found.policies:
        assert f"<td>{one.name}</td>" in page
    assert page.count('<path class="point') == len(found.policies)


def test_a_timer_and_the_naive_trigger_ask_when_they_say() -> None:
    assert [look for look in range(9) if Every(4).is_due(look, ())] == [4, 8]
    assert [look for look in range(9) if Every(4, 3).is_due(look, ())] == [3, 7]
    errors = [0.1, 0.3, 0.2, 0.24, 0.26]
    due = [n for n in range(len(errors) + 1) if Naive(1.25).is_due(n, errors[:n])]
    assert due == [5]


def test_where_nothing_can_be_learned_the_first_fit_says_why(tmp_path: Path) -> None:
    recorded = record(tmp_path)
    training = recorded.config.training.model_copy(update={"families": ()})
    recorded = replace(recorded, config=recorded.config.model_copy(update={"training": training}))
    assert recorded.learner.first().family == "baseline"
    with pytest.raises(TrainingError, match="no family could be trained"):
        replace(recorded).learner._best(_NOTHING, ())


def test_a_policy_costs_its_losses_and_its_fits() -> None:
    prices = CostSettings(loss=2.0, retrain=30.0)
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert Prices(prices).cost(np.array([0, 0, 1]), given, 3) == 2 * 2.0 + 3 * 30.0
    amounts = Prices(prices, (1.0, 2.0, 3.0, 4.0))
    assert amounts.cost(np.array([0.0, 0.0]), np.array([2.5, -9.0]), 0) == (0.5 + 1.0) * 2.0


def test_marks_of_an_axis_are_round() -> None:
    assert ticks(0.0, 57.0) == [0.0, 20.0, 40.0]
    assert ticks(1.0, 1.0) == [1.0]


class _Nothing:
    class task:
        metric = "accuracy"


_NOTHING: Any = _Nothing()
