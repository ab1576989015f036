"""Gathering: requests that wait anyway are answered by one call of the model, without an added wait.

While the loop answers, further requests arrive, and on its next round they are all there. An XGBoost model
of 100 trees takes 131 microseconds for one row and 182 for 32.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from raypipe.serving.endpoint import Asked
from raypipe.serving.reply import Reply

MAX_TOGETHER = 256
"""Objects (rows, and a body each) in one call, so that the loop stays free for others."""

AnswerAll: TypeAlias = Callable[[Sequence[Asked]], Sequence[Reply]]
"""Takes requests and returns a reply each; does not raise."""


class Gathering:
    """Requests of one event loop that wait for their answer; call it only from there."""

    def __init__(self, answer_all: AnswerAll) -> None:
        self._answer_all = answer_all
        self._waiting: deque[tuple[Asked, int, asyncio.Future[Reply]]] = deque()

    def ask(self, asked: Asked, n_objects: int) -> asyncio.Future[Reply]:
        """Return what will hold the reply to a request of so many objects, on the loop's next round."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((asked, n_objects, reply))
        if len(self._waiting) == 1:
            loop.call_soon(self._answer)
        return reply

    def _answer(self) -> None:
        requests, replies = self._next()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        for reply, answer in zip(replies, self._answer_all(requests), strict=True):
            # One whose client has left is answered all the same: its row is in the log.
            if not reply.done():
                reply.set_result(answer)

    def _next(self) -> tuple[list[Asked], list[asyncio.Future[Reply]]]:
        """Take the oldest requests, at least one, up to as many objects as go together."""
        requests: list[Asked] = []
        replies: list[asyncio.Future[Reply]] = []
        n_left = MAX_TOGETHER
        while self._waiting and (not requests or self._waiting[0][1] <= n_left):
            asked, n_objects, reply = self._waiting.popleft()
            requests.append(asked)
            replies.append(reply)
            n_left -= n_objects
        return requests, replies
