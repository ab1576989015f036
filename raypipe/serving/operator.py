"""What an operator may ask of an endpoint: another version, or the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from raypipe.core.errors import ArtifactError, RaypipeError, ServingError, StaleEpoch, UnknownVersion
from raypipe.serving.releases import (
    BY_HAND,
    CHAMPION,
    MAX_REASON_CHARACTERS,
    ROLLED_BACK,
    Follow,
    Release,
    Releases,
)
from raypipe.serving.request import RefusedRequest, explain_json
from raypipe.serving.token import check_token

_Reason: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)]
_T = TypeVar("_T")


class _Promotion(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    expected: str | None = None
    epoch: int | None = None
    reason: _Reason = ""


class _Rollback(msgspec.Struct, forbid_unknown_fields=True):
    expected: str
    epoch: int | None = None
    reason: _Reason = ""


_PROMOTION = msgspec.json.Decoder(_Promotion)
_ROLLBACK = msgspec.json.Decoder(_Rollback)


class Operator:
    """Releases for whoever shows the token of the home.

    `follow` makes this replica answer with a release before the reply says so; the others poll. Each call
    blocks: call it from the thread that moves versions. Raises RaypipeError; `status_of` says what that is
    over HTTP.
    """

    def __init__(self, token_file: Path, releases: Releases, follow: Follow) -> None:
        self._token_file = token_file
        self._releases = releases
        self._follow = follow

    def promote(self, authorization: bytes | None, body: bytes) -> Release:
        """Make a version the champion, unless the one that the caller `expected` is it no more."""
        check_token(self._token_file, authorization)
        asked = _decoded(_PROMOTION, body, '{"version": "v2", "expected": "v1", "epoch": 7, "reason": "..."}')
        present = self._releases.registry.alias(self._releases.folder.name, CHAMPION)
        return self._releases.promote(
            asked.version,
            expected=asked.expected or present,
            epoch=asked.epoch,
            reason=asked.reason or BY_HAND,
            follow=self._follow,
        )

    def rollback(self, authorization: bytes | None, body: bytes) -> Release:
        """Go back from the champion that the caller `expected`; a repeat goes back no further."""
        check_token(self._token_file, authorization)
        asked = _decoded(_ROLLBACK, body, '{"expected": "v2", "epoch": 7, "reason": "..."}')
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


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes, form: str) -> _T:
    try:
        return decoder.decode(body)
    except RecursionError:
        raise RefusedRequest("the body is nested too deeply; it is a flat object.") from None
    except msgspec.ValidationError as error:
        raise RefusedRequest(f"the body must be like {form}. Got: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedRequest(
            f"the body must be JSON in UTF-8 like {form}. Got: {explain_json(body, error)}."
        ) from None
