"""Whether answers are captured: replicas say so in their status, and people are told once when they are not.

What keeps answers from being captured, such as a full disk, may keep the controller from its ledger too: this
needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from raypipe.control.events import AlertRaised, Evidence
from raypipe.core.errors import ServingError, StorageError
from raypipe.core.ids import Json
from raypipe.serving import client
from raypipe.serving.spec import EndpointSpec

INTERVAL = timedelta(seconds=5)
FORGOTTEN_AFTER = timedelta(minutes=1)
"""After so long a replica that failed, and is heard of no more, is taken for gone."""
TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Capturing:
    """What a replica says of its capture; `why_not` is None while all is well."""

    replica: str
    n_not_captured: int
    why_not: str | None


class CaptureWatch:
    """Looks at one replica at a time, as the endpoint hands them out, every few seconds."""

    def __init__(self, pipeline: str, read: Callable[[], Capturing | None]) -> None:
        self._pipeline = pipeline
        self._read = read
        self._looked_at: datetime | None = None
        self._since: datetime | None = None
        self._failing: dict[str, datetime] = {}
        self._at_rest: dict[str, int] = {}
        self._lost: dict[str, int] = {}

    def look(self, at: datetime) -> AlertRaised | None:
        """Return what people should be told now: that capture fails, once, and that it works again."""
        if self._looked_at is not None and timedelta(0) <= at - self._looked_at < INTERVAL:
            return None
        self._looked_at = at
        found = self._read()
        if found is None:
            return None
        return self._fails(found, found.why_not, at) if found.why_not else self._works(found, at)

    def _fails(self, found: Capturing, why_not: str, at: datetime) -> AlertRaised | None:
        self._failing[found.replica] = at
        self._lost[found.replica] = found.n_not_captured - self._at_rest.get(found.replica, 0)
        if self._since is not None:
            return None
        self._since = at
        text = f"answers are not captured, and the endpoint goes on answering: {why_not}"
        return AlertRaised(at, self._key(at), text, Evidence())

    def _works(self, found: Capturing, at: datetime) -> AlertRaised | None:
        if self._failing.pop(found.replica, None) is not None:
            self._lost[found.replica] = found.n_not_captured - self._at_rest.get(found.replica, 0)
        self._at_rest[found.replica] = found.n_not_captured
        self._failing = {one: seen for one, seen in self._failing.items() if at - seen < FORGOTTEN_AFTER}
        since = self._since
        if since is None or self._failing:
            return None
        n_lost = sum(self._lost.values())
        self._since, self._lost = None, {}
        began = f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        text = f"answers are captured again; since {began}, {n_lost:,} were not"
        return AlertRaised(at, f"{self._key(since)}/over", text, Evidence())

    def _key(self, since: datetime) -> str:
        return f"{self._pipeline}/capture/{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def capture_of(spec: EndpointSpec) -> Callable[[], Capturing | None]:
    """Return what asks the endpoint; it finds None where none answers, or capture is off."""

    def read() -> Capturing | None:
        try:
            status = client.read_status(spec.url, TIMEOUT_S, spec.status_token())
        except (ServingError, StorageError):
            return None
        return _capturing(status.replica, status.details.get("capture"))

    return read


def _capturing(replica: str, capture: Json) -> Capturing | None:
    match capture:
        case {"enabled": True, "n_not_captured": int(n), "why_not": str() | None as why_not}:
            return Capturing(replica, n, why_not)
        case _:
            return None
