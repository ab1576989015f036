from __future__ import annotations

import pytest
from pydantic import ValidationError

from raypipe.monitoring.config import DriftSettings, MonitoringSettings


def test_defaults() -> None:
    settings = MonitoringSettings()
    assert (settings.window_rows, settings.window_labels) == (2_000, 500)
    assert (settings.min_rows, settings.min_labels) == (200, 100)
    assert (settings.drift.alpha, settings.drift.tolerance) == (0.05, 0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_rows": 100}, "min_rows must be <= window_rows, which bounds it. Got min_rows 200 and"),
        ({"window_labels": 50}, "min_labels must be <= window_labels"),
        ({"min_rows": 0}, "greater than or equal to 1"),
        ({"drfit": {}}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MonitoringSettings.model_validate(values)


@pytest.mark.parametrize("values", [{"alpha": 0}, {"tolerance": -0.1}, {"step_rows": 9}])
def test_a_budget_of_drift_has_bounds(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        DriftSettings.model_validate(values)
