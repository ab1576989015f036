"""The `retraining` part of a config."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from raypipe.policy.config import RetrainingSettings, TriggerSettings


def test_by_default_nothing_but_a_person_and_quality_with_a_bound_asks() -> None:
    triggers = RetrainingSettings().triggers
    asking = (triggers.schedule, triggers.new_labels, triggers.quality_bound, triggers.drift)
    assert asking == (None, None, None, "alert")


@pytest.mark.parametrize(
    ("schedule", "said"), [("every day", "five fields"), ("0 0 30 2 *", "exists"), ("61 * * * *", "minute")]
)
def test_a_schedule_is_checked_at_load(schedule: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TriggerSettings(schedule=schedule)


def test_a_schedule_is_kept_as_written() -> None:
    assert TriggerSettings(schedule="30 3 * * mon").schedule == "30 3 * * mon"


@pytest.mark.parametrize("url", ["example.org/hook", "file:///etc/passwd", "http://a b"])
def test_a_webhook_is_an_http_url(url: str) -> None:
    with pytest.raises(ValidationError, match="webhook"):
        RetrainingSettings.model_validate({"alerts": {"webhook": url}})


def test_no_more_triggers_can_be_needed_than_are_set() -> None:
    assert TriggerSettings(new_labels=5, need=2).n_needed == 2
    assert TriggerSettings(new_labels=5, drift="retrain", need="all").n_needed == 3
    with pytest.raises(ValidationError, match=r"need must be <= the 2 triggers that are set\. Got 3"):
        TriggerSettings(new_labels=5, need=3)
