"""What an operator may ask of an endpoint: another version, or the one before."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from raypipe.core.errors import ArtifactError, RaypipeError, ServingError, StaleEpoch, UnknownVersion
from raypipe.serving.decision_link import Decisions
from raypipe.serving.releases import (
    BY_HAND,
    CHAMPION,
    MAX_REASON_CHARACTERS,
    ROLLED_BACK,
    Follow,
    Release,
    Releases,
)
from raypipe.serving.request import RefusedRequest, decode_form
from raypipe.serving.token import Guard

MAX_EPOCH = 2**63 - 1
VERSION_PATTERN = r"^[A-Za-z0-9._-]{1,100}$"
_Version: TypeAlias = Annotated[str, msgspec.Meta(pattern=VERSION_PATTERN)]
_Epoch: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_EPOCH)]
_Reason: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)]


class _Promotion(msgspec.Struct, forbid_unknown_fields=True):
    version: _Version
    expected: _Version | None = None
    epoch: _Epoch | None = None
    reason: _Reason = ""


class _Rollback(msgspec.Struct, forbid_unknown_fields=True):
    expected: _Version
    epoch: _Epoch | None = None
    reason: _Reason = ""


_PROMOTION = msgspec.json.Decoder(_Promotion)
_ROLLBACK = msgspec.json.Decoder(_Rollback)


class Operator:
    """Releases for whoever passes the `guard`, which is to be asked first.

    `follow` makes this replica answer with a release before the reply says so; the others poll. Each call
    blocks: call it from the thread that moves versions. Raises RaypipeError; `status_of` says what that is
    over HTTP.
    """

    def __init__(
        self, guard: Guard, releases: Releases, follow: Follow, decisions: Decisions | None = None
    ) -> None:
        self.guard = guard
        self.decisions = decisions
        """What takes answers by signed links; None where none are asked for."""
        self._releases = releases
        self._follow = follow

    def promote(self, body: bytes) -> Release:
        """Make a version the champion, unless the one that the caller `expected` is it no more."""
        asked = decode_form(
            _PROMOTION, body, '{"version": "v2", "expected": "v1", "epoch": 7, "reason": "..."}'
        )
        present = self._releases.registry.alias(self._releases.folder.name, CHAMPION)
        return self._releases.promote(
            asked.version,
            expected=asked.expected or present,
            epoch=asked.epoch,
            reason=asked.reason or BY_HAND,
            follow=self._follow,
        )

    def rollback(self, body: bytes) -> Release:
        """Go back from the champion that the caller `expected`; a repeat goes back no further."""
        asked = decode_form(_ROLLBACK, body, '{"expected": "v2", "epoch": 7, "reason": "..."}')
        reason = f"{ROLLED_BACK}: {asked.reason}" if asked.reason else ROLLED_BACK
        return self._releases.rollback(
            expected=asked.expected, epoch=asked.epoch, reason=reason, follow=self._follow
        )


def status_of(error: RaypipeError) -> int:
    """Return the status of HTTP that tells of a refused release."""
    match error:
        case RefusedRequest():
            return error.status
        case UnknownVersion():
            return 404
        case StaleEpoch():
            return 409
        case ServingError() | ArtifactError():
            return 422
        case _:
            return 503
