"""Quality before labels: right while only inputs move, blind to new answers, corrected by few labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from raypipe.core.errors import SchemaError
from raypipe.monitoring.estimated import MIN_CORRECTING, Expected, corrected, estimated


def answered(n: int, seed: int, centre: float = 0.0, worse: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences and losses of a classifier that is overconfident by a fifth.

    `centre` moves the inputs; `worse` adds errors that no input shows.
    """
    random = np.random.default_rng(seed)
    distance = np.abs(random.normal(centre, 1.5, n))
    confidence = 1 / (1 + np.exp(-distance))
    chance = 0.5 + (confidence - 0.5) * 0.8 - worse
    return confidence, (random.random(n) >= chance).astype(float)


EXPECTED = Expected.of_confidences(*answered(20_000, 0))


def test_as_inputs_move_the_estimate_follows() -> None:
    for centre in (0.0, 1.5):
        confidences, losses = answered(20_000, 1, centre)
        found = estimated(EXPECTED, confidences)
        assert found.basis == "estimated"
        assert found.loss.low <= losses.mean() <= found.loss.high
        assert found.loss.high - found.loss.low < 0.03


def test_the_interval_holds_its_share() -> None:
    missed = 0
    for seed in range(200):
        expected = Expected.of_confidences(*answered(1_000, 2 * seed))
        confidences, losses = answered(1_000, 2 * seed + 1)
        found = estimated(expected, confidences).loss
        truth = (1 - 0.5 - (confidences - 0.5) * 0.8).mean()
        missed += not found.low <= truth <= found.high
        assert 0 <= losses.mean() <= 1
    assert missed <= 20


def test_a_changed_world_is_not_seen_without_labels_and_is_with_two_hundred() -> None:
    confidences, losses = answered(20_000, 3, worse=0.07)
    blind = estimated(EXPECTED, confidences).loss
    assert blind.high < losses.mean() - 0.04
    found = corrected(EXPECTED, confidences[200:], confidences[:200], losses[:200])
    assert (found.basis, found.n_labels, found.n_rows) == ("estimated and corrected", 200, 20_000)
    assert found.loss.low <= losses.mean() <= found.loss.high


def test_a_handful_of_labels_corrects_nothing() -> None:
    confidences, losses = answered(1_000, 4)
    n = MIN_CORRECTING - 1
    found = corrected(EXPECTED, confidences[n:], confidences[:n], losses[:n])
    assert (found.basis, found.n_rows, found.n_labels) == ("estimated", 1_000, 0)


def test_for_amounts_the_loss_is_known_by_the_size_of_the_answer() -> None:
    random = np.random.default_rng(5)

    def world(n: int, most: float) -> tuple[np.ndarray, np.ndarray]:
        answers = random.uniform(0, most, n)
        return answers, np.abs(random.normal(scale=0.02 + answers / 40, size=n)).clip(0, 1)

    expected = Expected.of_amounts(*world(20_000, 10.0))
    answers, losses = world(20_000, 5.0)
    assert estimated(expected, answers).loss.value == pytest.approx(losses.mean(), abs=0.004)
    assert expected.losses(np.array([1.0]))[0] < expected.losses(np.array([9.0]))[0]


def test_it_is_read_as_it_was_written() -> None:
    for expected in (EXPECTED, Expected.of_amounts(np.arange(9.0), np.linspace(0, 1, 9))):
        assert Expected.from_json(json.loads(json.dumps(expected.to_json()))) == expected
    with pytest.raises(SchemaError, match="must have a relation"):
        Expected.from_json({"n_rows": 3})
