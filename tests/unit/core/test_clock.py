"""Clocks tell aware times in UTC."""

from __future__ import annotations

from datetime import UTC, timedelta

from raypipe.core.clock import SystemClock
from raypipe.testing import FakeClock


def test_the_system_clock_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert SystemClock().now() - now < timedelta(hours=1)


def test_a_fake_clock_moves_when_told() -> None:
    clock = FakeClock()
    start = clock.now()
    assert clock.now() == start
    clock.advance(1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    clock.advance(-2)
    assert clock.now() < start
