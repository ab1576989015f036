"""Times of events under a clock that is set."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.steady import BELIEVED_AFTER_S, SteadyClock
from raypipe.testing import FakeClock

TURNS = st.lists(
    st.tuples(st.floats(0.0, 300.0), st.sampled_from([0.0, 0.0, -3600.0, 3600.0, -262.0])), max_size=40
)


@given(turns=TURNS)
def test_it_never_goes_back_and_never_leaps_while_the_clock_is_set_to_and_fro(
    turns: list[tuple[float, float]],
) -> None:
    machine, gone_by, set_by = FakeClock(), 0.0, 0.0
    start, steady = machine.now(), SteadyClock(machine, lambda: machine.uptime().seconds)
    before = steady.now()
    for seconds, jump in turns:
        machine.set_by(jump - set_by if jump else -set_by)  # It is apart by one jump, or by none.
        set_by = jump
        seconds = min(seconds, BELIEVED_AFTER_S / 40)
        machine.advance(seconds)
        gone_by += seconds
        shown = steady.now()
        assert shown >= before
        assert abs((shown - start).total_seconds() - gone_by) < 1e-3
        before = shown


@given(hours=st.sampled_from([-1.0, -0.5, 0.5, 1.0]), step_s=st.floats(1.0, 60.0))
def test_a_clock_that_was_set_for_good_is_believed_in_the_end(hours: float, step_s: float) -> None:
    machine = FakeClock()
    steady = SteadyClock(machine, lambda: machine.uptime().seconds)
    machine.set_by(hours * 3600)
    before, waited_s = steady.now(), 0.0
    while waited_s < BELIEVED_AFTER_S - step_s:
        machine.advance(step_s)
        waited_s += step_s
    apart = abs(steady.now() - machine.now())
    assert abs(apart - timedelta(hours=abs(hours))) < timedelta(milliseconds=50)
    for _ in range(400):
        machine.advance(30.0)
        shown = steady.now()
        assert shown >= before
        before = shown
    assert shown == machine.now()


def test_small_steps_are_followed() -> None:
    machine = FakeClock()
    steady = SteadyClock(machine, lambda: machine.uptime().seconds)
    for seconds in (0.4, -0.3, 0.7):
        machine.set_by(seconds)
        machine.advance(10)
        assert steady.now() == machine.now()
