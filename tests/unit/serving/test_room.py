from __future__ import annotations

from raypipe.serving.room import BURST_S, CALM_S, Room


class Now:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def filled(room: Room, n: int) -> int:
    """Let so many ask for room at once; return how many were let in."""
    n_before = room.n_in_progress
    for _ in range(n):
        if room.refusal() is None:
            room.__enter__()
    return room.n_in_progress - n_before


def emptied(room: Room) -> None:
    while room.n_in_progress:
        room.__exit__()


def test_a_burst_is_let_in_up_to_the_most() -> None:
    room = Room(10, 4, Now())
    assert filled(room, 20) == 10
    assert room.refusal() == "10 requests are in progress (serving.max_ongoing_requests)"


def test_a_crowd_that_stays_has_the_sustained_number() -> None:
    now = Now()
    room = Room(10, 4, now)
    let_in = []
    for _ in range(8):  # All are answered together, and as many come again.
        let_in.append(filled(room, 20))
        now.s += 0.6 * BURST_S
        emptied(room)
    assert let_in == [10, 10, 4, 4, 4, 4, 4, 4]
    filled(room, 4)
    assert room.refusal() == ("4 requests have been in progress for a while (serving.max_sustained_requests)")


def test_after_a_calm_another_burst_may_come() -> None:
    now = Now()
    room = Room(10, 4, now)
    filled(room, 20)
    emptied(room)
    now.s += CALM_S
    assert filled(room, 20) == 4, "as long as a second is not over, it is the same crowd"
    emptied(room)
    now.s += CALM_S + 0.01
    assert filled(room, 20) == 10


def test_fewer_than_the_sustained_number_are_no_crowd() -> None:
    now = Now()
    room = Room(10, 4, now)
    for _ in range(100):
        assert filled(room, 4) == 4
        now.s += BURST_S
        emptied(room)
    assert filled(room, 20) == 10


def test_no_more_are_sustained_than_there_may_be() -> None:
    assert filled(Room(3, 40, Now()), 20) == 3
