"""What is known of a version's life, made up, for tests of whatever shows it."""

from __future__ import annotations

from datetime import UTC, datetime

from raypipe.monitoring.decay import Decay
from raypipe.monitoring.report import (
    Cohort,
    ColumnEvidence,
    EstimatedQuality,
    HarmEvidence,
    JointEvidence,
    Matured,
    Signals,
    UnitChange,
)


def some_signals() -> Signals:
    """Return signals with all their parts: an input half way to an alarm, a slice that is harmed."""
    matured_at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return Signals(
        n_rows=1_200,
        inputs=(ColumnEvidence("age", 0.3, 0.1, 500, 4.0, 8.0, 5.0, False, False, 1.0),),
        outputs=(ColumnEvidence("answer.class", 0.1, None, 500, 2.0, 8.0, 9.5, False, True, 1.0),),
        harm=HarmEvidence("", 800, 0.11, 0.1, 0.12, 0.9, 3.6, 2.0, 9.2, False, False),
        slices=(HarmEvidence("car = bus", 90, 0.4, 0.1, 0.2, 9.0, 5.0, 9.9, 9.2, True, True),),
        matured=Matured(
            1_000, 800, 0.088, 0.288, 60.0, 0.8, 2.0, 50.0, (Cohort(matured_at, 100, 80, 0.09, 0.29),)
        ),
        estimated=EstimatedQuality("error", 0.11, 0.09, 0.13, "estimated", 1_200, 0, 0.12),
        units=(UnitChange("age", 12.0),),
        joint=JointEvidence(1, 0.6, 0.001, 0.025),
        decay=Decay(1_000, 0.1, 20.0, 200, 0.2, 0.1, 70.0, 10.0),
    )
