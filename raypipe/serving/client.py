"""The endpoint as seen from outside, over plain HTTP; light enough for commands that only ask."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from raypipe.core.errors import RaypipeError, ServingError, StaleEpoch, UnknownVersion
from raypipe.core.ids import Json

POLL_INTERVAL_S = 0.05
RETRY_INTERVAL_S = 0.25
_PASSING = (429, 502, 503, 504)
"""What Serve, or the proxy before it, answers when a replica has too much to do or was just lost."""


@dataclass(frozen=True)
class EndpointReply:
    """What the endpoint answered: the status of HTTP and the body's JSON."""

    status: int
    body: Json


@dataclass(frozen=True)
class EndpointStatus:
    """What a replica says of itself; `details` is all that it says, as it says it."""

    version: str
    epoch: int
    replica: str
    refused_epoch: int | None
    refused_because: str | None
    details: Mapping[str, Json]

    @staticmethod
    def from_json(value: Json) -> EndpointStatus:
        """Read what `GET /status` answers; raises ServingError for anything else."""
        fields = value if isinstance(value, Mapping) else {}
        match fields.get("version"), fields.get("epoch"), fields.get("replica"):
            case str(version), int(epoch), str(replica):
                pass
            case _:
                raise ServingError(f"this is no raypipe endpoint: its status is {str(value)[:200]}.")
        match fields.get("refused"):
            case {"epoch": int(refused_epoch), "message": str(message)}:
                return EndpointStatus(version, epoch, replica, refused_epoch, message, fields)
            case _:
                return EndpointStatus(version, epoch, replica, None, None, fields)


@dataclass(frozen=True)
class ReleaseReply:
    """What became of a release over HTTP; `is_new` is false where it had been done before."""

    version: str
    epoch: int
    is_new: bool


def read_status(url: str, timeout_s: float = 5.0, token: str | None = None) -> EndpointStatus:
    """Ask the endpoint at `url` for its status; raises ServingError where none answers.

    `token` is the operator's, for an endpoint that asks for tokens.
    """
    reply = ask(url, "GET", "status", timeout_s=timeout_s, token=token)
    if reply.status != 200:
        raise ServingError(f"{url}/status must answer with 200. Got {reply.status}: {str(reply.body)[:200]}.")
    return EndpointStatus.from_json(reply.body)


def predict(url: str, body: Json, timeout_s: float = 60.0, token: str | None = None) -> EndpointReply:
    """Post `{"rows": [...]}`; rows that fail are told in the reply."""
    return ask(url, "POST", "predict", body, timeout_s, token)


def feedback(url: str, body: Json, timeout_s: float = 60.0, token: str | None = None) -> EndpointReply:
    """Post `{"labels": [{"id": ..., "label": ...}]}`."""
    return ask(url, "POST", "feedback", body, timeout_s, token)


def release(
    url: str,
    route: Literal["promote", "rollback"],
    body: Mapping[str, Json],
    token: str,
    *,
    patience_s: float = 10.0,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> ReleaseReply:
    """Ask the endpoint for another version, again where it is lost on the way.

    `body` says by `expected` and `epoch` what was seen before, so that a repeat changes nothing. Raises
    UnknownVersion, StaleEpoch where another release came in between, and ServingError.
    """
    deadline = monotonic() + patience_s
    while True:
        try:
            reply = ask(url, "POST", route, body, token=token)
        except ServingError:
            if monotonic() >= deadline:
                raise
        else:
            if not _is_passing(reply) or monotonic() >= deadline:
                return _released(url, reply)
        sleep(RETRY_INTERVAL_S)


def _is_passing(reply: EndpointReply) -> bool:
    """Return whether somebody on the way answered, and not the endpoint, which gives its reason."""
    return reply.status in _PASSING and not (isinstance(reply.body, Mapping) and "error" in reply.body)


def _released(url: str, reply: EndpointReply) -> ReleaseReply:
    match reply.body:
        case {"version": str(version), "epoch": int(epoch), "is_new": bool(is_new)} if reply.status == 200:
            return ReleaseReply(version, epoch, is_new)
        case {"error": {"message": str(message)}}:
            kinds: dict[int, type[RaypipeError]] = {404: UnknownVersion, 409: StaleEpoch}
            raise kinds.get(reply.status, ServingError)(message)
        case other:
            raise ServingError(f"{url} must answer with a release. Got {reply.status}: {str(other)[:200]}.")


def ask(
    url: str, method: str, route: str, body: Json = None, timeout_s: float = 60.0, token: str | None = None
) -> EndpointReply:
    """Send one request to an endpoint; raises ServingError where it cannot be reached or answers no JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    sent = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    try:
        connection.request(method, f"{parts.path}/{route}", sent, headers)
        response = connection.getresponse()
        return EndpointReply(response.status, _json(response.read()))
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise ServingError(
            f"the endpoint {url} does not answer ({reason}); start it with `raypipe up`."
        ) from error
    finally:
        connection.close()


def wait_for_epoch(
    url: str,
    epoch: int,
    *,
    timeout_s: float,
    n_replicas: int = 1,
    token: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> EndpointStatus:
    """Wait until `n_replicas` different replicas answer with `epoch` or a newer one.

    Raises ServingError where a replica refuses the epoch, and where time is up.
    """
    deadline = monotonic() + timeout_s
    ready: set[str] = set()
    last = "it did not answer"
    while monotonic() < deadline:
        try:
            status = read_status(url, timeout_s=min(5.0, timeout_s), token=token)
        except ServingError as error:
            last = str(error)
        else:
            _check_not_refused(url, status, epoch)
            last = f"it answers with version {status.version}, epoch {status.epoch}"
            ready = ready | {status.replica} if status.epoch >= epoch else ready
            if len(ready) >= n_replicas:
                return status
        sleep(POLL_INTERVAL_S)
    raise ServingError(f"{url} did not come to epoch {epoch} within {timeout_s:g} seconds: {last}")


def _check_not_refused(url: str, status: EndpointStatus, epoch: int) -> None:
    if status.refused_epoch == epoch:
        raise ServingError(
            f"{url} refused the version and goes on with {status.version}: {status.refused_because}"
        )


def _json(data: bytes) -> Json:
    try:
        value: Json = json.loads(data)
    except ValueError:
        return data[:500].decode("utf-8", "replace")
    return value
