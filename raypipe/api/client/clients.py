"""`raypipe.Client` and `raypipe.AsyncClient`: an endpoint asked over HTTP, by Python from anywhere."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from raypipe.api.client.answers import Feedback, Prediction
from raypipe.api.client.connection import Patience
from raypipe.api.client.parts import Limits, Part
from raypipe.api.client.sender import (
    MAX_BODY_BYTES,
    MAX_RETRIES,
    MAX_ROWS,
    TIMEOUT_S,
    LabelColumns,
    Sender,
    labels_of,
    together,
)
from raypipe.api.client.tables import rows_of
from raypipe.core.errors import ConfigError
from raypipe.serving.client import EndpointStatus

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

MAX_IN_FLIGHT = 4
_T = TypeVar("_T")


class Client:
    """Asks an endpoint; what is lost on the way is sent again under the same ids, and so counts once.

    The token is `token`, or what `token_file` holds, or what RAYPIPE_TOKEN or the file RAYPIPE_TOKEN_FILE
    say. A request has at most `max_rows` rows and `max_body_bytes` bytes, and fewer where the endpoint takes
    fewer. Each try may take `timeout_s`; `max_retries` more follow a lost answer, a time-out, 408, 429 and
    502 to 504, later and later, or as late as Retry-After asks for. Connections are kept until `close`; a
    client is safe to use from several threads. Raises ConfigError for arguments that cannot be.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        token_file: str | Path | None = None,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        max_rows: int = MAX_ROWS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        patience, limits = Patience(timeout_s, max_retries), Limits(max_rows, max_body_bytes)
        self._sender = Sender.open(url, token, token_file, patience, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._sender.connection.url!r})"

    @overload
    def predict(self, rows: pd.DataFrame, ids: Iterable[str] | None = None) -> pd.DataFrame: ...
    @overload
    def predict(self, rows: pl.DataFrame, ids: Iterable[str] | None = None) -> pl.DataFrame: ...
    @overload
    def predict(
        self, rows: Iterable[Mapping[str, object]], ids: Iterable[str] | None = None
    ) -> list[Prediction]: ...
    @overload
    def predict(self, rows: pa.Table, ids: Iterable[str] | None = None) -> Any: ...
    def predict(self, rows: Any, ids: Iterable[str] | None = None) -> Any:
        """Return the answers to rows, in their order, with the errors of rows that cannot be answered.

        A list of mappings is answered by a list of `Prediction`; a table of pandas (its index is kept),
        polars or pyarrow by one of the same kind, with the columns `id`, `prediction`, a `probability_CLASS`
        for each class, `version` and `error`. NaN, NaT and None are missing values. `ids` are made anew
        where none are given; give them where what fails in the middle shall be sent again as the same.
        Raises DataError for a value that has no place in JSON, and ServingError (NotAllowed,
        EndpointUnavailable) where a request is refused as a whole or not answered.
        """
        given = rows_of(rows)
        found = (self._sender.predict(one) for one in self._sender.row_parts(given, ids))
        return given.answered([answer for answers in found for answer in answers])

    def feedback(self, labels: Any, *, id_column: str = "id", label_column: str = "label") -> Feedback:
        """Send what was true of predictions: `{id: label}`, a list of mappings, or a table.

        Those without a label yet are not sent. To send labels again does no harm: the last one of an id
        counts. Raises as `predict` does.
        """
        given = labels_of(labels, LabelColumns(id_column, label_column))
        send = partial(self._sender.feedback, places=given.places)
        found = (one for part in self._sender.label_parts(given) for one in send(part))
        return together(given.n_empty, found)

    def status(self) -> EndpointStatus:
        """Return what a replica says of itself; one that asks for tokens wants the operator's here."""
        return self._sender.status()

    def close(self) -> None:
        """Close the connections; the client cannot be used any more."""
        self._sender.connection.close()


class AsyncClient:
    """What `Client` is, for an event loop, which it never stops.

    At most `max_in_flight` requests are on their way at once, those of large inputs among them. They are sent
    by as many threads: a task that is cancelled leaves its requests to their end, and no new ones follow.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        token_file: str | Path | None = None,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        max_rows: int = MAX_ROWS,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight must be >= 1. Got {max_in_flight!r}.")
        patience, limits = Patience(timeout_s, max_retries), Limits(max_rows, max_body_bytes)
        self._sender = Sender.open(url, token, token_file, patience, limits, max_in_flight)
        self._max_in_flight = max_in_flight
        self._threads = ThreadPoolExecutor(max_in_flight, thread_name_prefix="raypipe-client")
        self._tables = ThreadPoolExecutor(1, thread_name_prefix="raypipe-client-tables")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._sender.connection.url!r})"

    @overload
    async def predict(self, rows: pd.DataFrame, ids: Iterable[str] | None = None) -> pd.DataFrame: ...
    @overload
    async def predict(self, rows: pl.DataFrame, ids: Iterable[str] | None = None) -> pl.DataFrame: ...
    @overload
    async def predict(
        self, rows: Iterable[Mapping[str, object]], ids: Iterable[str] | None = None
    ) -> list[Prediction]: ...
    @overload
    async def predict(self, rows: pa.Table, ids: Iterable[str] | None = None) -> Any: ...
    async def predict(self, rows: Any, ids: Iterable[str] | None = None) -> Any:
        """Return what `Client.predict` returns, and raise what it raises."""
        given = rows_of(rows)
        parts = self._sender.row_parts(given, ids)
        found = await self._sent(parts, self._sender.predict)
        return await self._apart(given.answered, [answer for answers in found for answer in answers])

    async def feedback(self, labels: Any, *, id_column: str = "id", label_column: str = "label") -> Feedback:
        """Do what `Client.feedback` does."""
        given = await self._apart(labels_of, labels, LabelColumns(id_column, label_column))
        send = partial(self._sender.feedback, places=given.places)
        found = await self._sent(self._sender.label_parts(given), send)
        return together(given.n_empty, (one for several in found for one in several))

    async def status(self) -> EndpointStatus:
        """Return what a replica says of itself, as `Client.status` does."""
        self._sender.connection.check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._sender.status)

    async def close(self) -> None:
        """Close the connections, once the requests on their way are done; no others are sent."""
        self._sender.connection.close()
        for pool in (self._tables, self._threads):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    async def _sent(self, parts: Iterator[Part], send: Callable[[Part], _T]) -> list[_T]:
        """Send requests, a bounded number at once, and return what came of them, in their order."""
        loop, found = asyncio.get_running_loop(), list[_T]()
        on_their_way: deque[asyncio.Future[_T]] = deque()
        try:
            while (part := await self._apart(next, parts, None)) is not None:
                on_their_way.append(loop.run_in_executor(self._threads, send, part))
                if len(on_their_way) >= self._max_in_flight:
                    found.append(await on_their_way.popleft())
            while on_their_way:
                found.append(await on_their_way.popleft())
        finally:
            for one in on_their_way:
                if not one.cancel():
                    one.exception()  # Else asyncio reports it as an error that nobody looked at.
        return found

    async def _apart(self, work: Callable[..., _T], *arguments: object) -> _T:
        """Do what takes time for large tables in a thread of its own."""
        self._sender.connection.check_open()
        return await asyncio.get_running_loop().run_in_executor(self._tables, work, *arguments)
