"""Cohorts of answers: what late labels hide, the worst-case bounds tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.captured import Answer, LabelRecord, PredictionRecord, label_table, prediction_table
from raypipe.monitoring.labels import join
from raypipe.monitoring.maturity import Answers, answers_of, maturity

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = 86_400.0


def slow_bad_news(n: int, days: float) -> tuple[Answers, np.ndarray]:
    """A tenth of the answers is wrong; their labels take 20 days on average, the others 2."""
    random = np.random.default_rng(0)
    at_s = NOON.timestamp() - random.uniform(0, days * DAY, n)
    wrong = (random.random(n) < 0.1).astype(float)
    delays = random.exponential(np.where(wrong == 1, 20 * DAY, 2 * DAY))
    came = delays <= NOON.timestamp() - at_s
    return Answers(at_s, np.where(came, delays, np.nan), np.where(came, wrong, np.nan)), wrong


def test_the_mean_of_what_has_arrived_is_wrong_and_the_bounds_hold() -> None:
    answers, wrong = slow_bad_news(50_000, days=30)
    found = maturity(answers, now=NOON, cohort_s=DAY)
    assert wrong.mean() == pytest.approx(0.1, abs=0.005)
    assert np.nanmean(answers.losses) < 0.065
    cohorts = np.floor(answers.at_s / DAY)
    for one in found.cohorts:
        truth = wrong[cohorts == one.start.timestamp() / DAY].mean()
        assert one.low <= truth <= one.high
    mature = [one for one in found.cohorts if one.is_mature]
    assert 0 < len(mature) < len(found.cohorts)
    bounds = found.bounds()
    assert bounds is not None
    assert bounds[0] <= 0.1 <= bounds[1]
    assert bounds[1] - bounds[0] < 0.1
    assert found.cohorts[-1].high - found.cohorts[-1].low > 0.5, "of the newest nothing is known yet"


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.sampled_from([0.0, 0.5, 1.0, None]), st.floats(0, 1e5)), max_size=40
    )
)
def test_cohorts_hold_every_answer_once(rows: list[tuple[float, float | None, float]]) -> None:
    at_s = np.array([NOON.timestamp() - age for age, _, _ in rows])
    losses = np.array([np.nan if loss is None else loss for _, loss, _ in rows])
    delays = np.array([np.nan if loss is None else delay for _, loss, delay in rows])
    found = maturity(Answers(at_s, delays, losses), now=NOON, cohort_s=3_600.0)
    assert sum(one.n_answers for one in found.cohorts) == len(rows)
    assert sum(one.n_labelled for one in found.cohorts) == int((~np.isnan(losses)).sum())
    assert sum(one.total_loss for one in found.cohorts) == pytest.approx(np.nansum(losses))
    assert all(0 <= one.low <= one.high <= 1 for one in found.cohorts)
    assert [one.start for one in found.cohorts] == sorted(one.start for one in found.cohorts)


def test_without_labels_no_cohort_is_mature() -> None:
    nothing = Answers(np.array([NOON.timestamp() - 9 * DAY]), np.array([np.nan]), np.array([np.nan]))
    found = maturity(nothing, now=NOON, cohort_s=DAY)
    assert found.mature_after_s is None
    assert found.bounds() is None
    assert found.ever_labelled_ratio == 0
    [cohort] = found.cohorts
    assert (cohort.low, cohort.high, cohort.coverage_ratio, cohort.is_mature) == (0.0, 1.0, 0.0, False)


def test_repeated_corrected_unknown_and_missing_labels_in_tables() -> None:
    answers = [
        PredictionRecord(id, NOON - timedelta(hours=hours), "v1", "champion", "{}", 1.0)
        for id, hours in (("a", 50), ("b", 49), ("open", 48), ("b", 47))
    ]
    came: list[tuple[str, Answer, float]] = [
        ("a", 1.0, 40),
        ("a", 1.0, 39),
        ("b", 1.0, 40),
        ("b", 5.0, 30),
        ("who", 1.0, 1),
    ]
    labels = [LabelRecord(id, label, NOON - timedelta(hours=hours)) for id, label, hours in came]
    predictions = prediction_table(answers)
    joined = join(predictions, label_table(labels))
    losses = np.array([0.0, 1.0])
    assert joined.rows["id"].to_pylist() == ["a", "b"]
    found = answers_of(predictions, joined.rows, losses)
    hours_ago = (NOON.timestamp() - found.at_s) / 3_600
    assert hours_ago.tolist() == [50, 48, 47]
    assert (found.delays_s / 3_600).tolist() == pytest.approx([11, np.nan, 17], nan_ok=True)
    assert found.losses.tolist() == pytest.approx([0.0, np.nan, 1.0], nan_ok=True)
    unusable = answers_of(predictions, joined.rows, np.array([np.nan, 1.0]))
    assert np.isnan(unusable.delays_s).tolist() == [True, True, False]
