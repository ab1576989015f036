from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.captured import Answer, LabelRecord, PredictionRecord, label_table, prediction_table
from raypipe.monitoring.labels import Joined, LabelCounts, join

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def joined(predictions: list[tuple[str, float]], labels: list[tuple[str, Answer, float]]) -> Joined:
    answers = [
        PredictionRecord(id, NOON + timedelta(seconds=at), "v1", "champion", "{}", 1.5)
        for id, at in predictions
    ]
    truths = [LabelRecord(id, label, NOON + timedelta(seconds=at)) for id, label, at in labels]
    return join(prediction_table(answers), label_table(truths))


def test_nothing_captured() -> None:
    found = joined([], [])
    assert (found.rows.num_rows, found.counts) == (0, LabelCounts())


def test_late_labels_are_joined_when_they_come() -> None:
    answers: list[tuple[str, float]] = [("a", 0), ("b", 1), ("c", 2)]
    labels: list[tuple[str, Answer, float]] = [("a", 1.0, 5), ("c", 1.0, 12)]
    before, after = joined(answers, labels), joined(answers, [*labels, ("b", 2.0, 90_001)])
    assert before.rows["id"].to_pylist() == ["a", "c"]
    assert after.rows["id"].to_pylist() == ["a", "b", "c"]
    counts = after.counts
    assert (counts.delay_p50_s, counts.delay_p90_s, counts.delay_max_s) == (10.0, 90_000.0, 90_000.0)


def test_what_came_is_counted() -> None:
    predictions = [("a", 0), ("b", 0), ("b", 5), ("c", 0), ("open", 0)]
    labels: list[tuple[str, Answer, float]] = [
        ("a", 1.0, 1),
        ("a", 1.0, 2),
        ("b", 1.0, 6),
        ("b", 2.0, 7),
        ("b", 1.0, 8),
        ("c", 3.0, 9),
        ("nobody", 1.0, 9),
        ("nobody", 1.0, 9),
    ]
    counts = joined(predictions, labels).counts
    assert (counts.n_predictions, counts.n_redelivered) == (4, 1)
    assert (counts.n_labelled, counts.n_unknown) == (3, 1)
    assert (counts.n_repeated, counts.n_corrected) == (2, 2)


def test_a_correction_wins_in_whatever_order_it_is_read() -> None:
    labels: list[tuple[str, Answer, float]] = [("a", 1.0, 1), ("a", 2.0, 2)]
    for order in (labels, labels[::-1]):
        found = joined([("a", 0)], order)
        assert found.rows["label"].to_pylist() == ["2.0"]
        assert (found.counts.n_corrected, found.counts.n_repeated) == (1, 0)


def test_one_and_true_are_two_labels() -> None:
    assert joined([("a", 0)], [("a", 1, 1), ("a", True, 2)]).counts.n_corrected == 1


def test_a_label_before_the_last_answer_took_no_time() -> None:
    assert joined([("a", 0), ("a", 9)], [("a", 1.0, 5)]).counts.delay_max_s == 0.0


IDS = st.sampled_from("abcde")
TIMES = st.integers(0, 9)


@given(
    st.lists(st.tuples(IDS, TIMES), max_size=12),
    st.lists(st.tuples(IDS, st.sampled_from([1.0, 2.0]), TIMES), max_size=12),
)
def test_every_row_is_counted_once(
    predictions: list[tuple[str, float]], labels: list[tuple[str, Answer, float]]
) -> None:
    found = joined(predictions, labels)
    counts = found.counts
    assert counts.n_predictions + counts.n_redelivered == len(predictions)
    assert counts.n_labelled + counts.n_unknown + counts.n_repeated + counts.n_corrected == len(labels)
    assert counts.n_labelled == found.rows.num_rows == len(set(found.rows["id"].to_pylist()))
