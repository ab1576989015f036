from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from raypipe.serving.gathering import MAX_TOGETHER, Gathering
from raypipe.serving.reply import Reply


class Echo:
    """Answers each body with itself, and remembers what came together."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []

    def __call__(self, bodies: Sequence[bytes]) -> Sequence[Reply]:
        self.calls.append(list(bodies))
        return [Reply(200, body) for body in bodies]


def asked(echo: Echo, *requests: tuple[bytes, int]) -> list[bytes]:
    async def inner() -> list[bytes]:
        gathering = Gathering(echo)
        replies = [gathering.ask(body, n_objects) for body, n_objects in requests]
        return [reply.body for reply in await asyncio.gather(*replies)]

    return asyncio.run(inner())


def test_what_waits_is_answered_together_each_with_its_own_reply() -> None:
    echo = Echo()
    assert asked(echo, (b"a", 2), (b"b", 2), (b"c", 2)) == [b"a", b"b", b"c"]
    assert echo.calls == [[b"a", b"b", b"c"]]


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([MAX_TOGETHER, 1], [1, 1]),
        ([MAX_TOGETHER - 1, 1, 1], [2, 1]),
        ([9 * MAX_TOGETHER, 1, 1], [1, 2]),
        ([1] * (2 * MAX_TOGETHER + 1), [MAX_TOGETHER, MAX_TOGETHER, 1]),
    ],
)
def test_a_call_is_bounded_and_the_order_stays(sizes: list[int], calls: list[int]) -> None:
    echo = Echo()
    bodies = [b"%d" % number for number in range(len(sizes))]
    assert asked(echo, *zip(bodies, sizes, strict=True)) == bodies
    assert [len(call) for call in echo.calls] == calls


def test_one_that_leaves_keeps_no_other_from_its_reply() -> None:
    async def inner() -> bytes:
        gathering = Gathering(Echo())
        left, stays = gathering.ask(b"left", 1), gathering.ask(b"stays", 1)
        left.cancel()
        return (await stays).body

    assert asyncio.run(inner()) == b"stays"


def test_what_comes_while_others_are_answered_is_the_next_call() -> None:
    echo = Echo()

    async def inner() -> list[Reply]:
        gathering = Gathering(echo)
        first = await gathering.ask(b"first", 1)
        return [first, await gathering.ask(b"second", 1)]

    assert [reply.body for reply in asyncio.run(inner())] == [b"first", b"second"]
    assert echo.calls == [[b"first"], [b"second"]]
