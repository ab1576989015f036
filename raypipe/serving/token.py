"""Tokens: whoever shows an endpoint the operator's may change which version answers, and whoever shows it the
other one is answered, where the endpoint asks for it."""

from __future__ import annotations

import hmac
import os
from datetime import datetime, timedelta
from pathlib import Path

from raypipe.core.clock import Clock
from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.serving.request import RefusedRequest

MIN_CHARACTERS = 32
READ_AGAIN = timedelta(seconds=1)
_SCHEME = b"bearer "


class NoToken(RefusedRequest):
    """The request shows no token."""

    status = 401


class WrongToken(RefusedRequest):
    """The request shows another token."""

    status = 403


class TokenUnset(RefusedRequest):
    """The home has no token, so that nobody may."""

    status = 503


def read_token(path: Path) -> str | None:
    """Return the token in a file; None where there is none. Raises StorageError for one that is not ours."""
    try:
        token = path.read_bytes().decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error}); give this user read access.") from error
    return token if len(token) >= MIN_CHARACTERS and token.isascii() else None


def keep_token(path: Path, new: str) -> None:
    """Let `new` be the token in a file that only this user can read, unless there is one."""
    if read_token(path) is not None:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new)
        temporary.replace(path)
        fsync_folder(path.parent)


class Guard:
    """Lets pass whoever shows the token in a file; one that is replaced counts within a second.

    `whose` says in refusals what needs the token, such as "this path is the operator's".
    """

    def __init__(self, path: Path, clock: Clock, whose: str) -> None:
        self._path = path
        self._clock = clock
        self._whose = whose
        self._token: bytes | None = None
        self._read_at: datetime | None = None

    def check(self, header: bytes | None) -> None:
        """Raise RefusedRequest unless the header `authorization` shows the token.

        Raises StorageError where the file cannot be read.
        """
        if header is None or not header.lower().startswith(_SCHEME):
            raise NoToken(
                f"{self._whose}: send the header `authorization: Bearer TOKEN`, with what the file "
                f"{self._path.name} in the endpoint's home holds."
            )
        token = self._known()
        if token is None:
            raise TokenUnset(
                f"the endpoint's file {self._path.name} must hold a token of {MIN_CHARACTERS} or more "
                "characters, and does not; `raypipe up` makes one in the home."
            )
        if not hmac.compare_digest(header[len(_SCHEME) :].strip(), token):
            raise WrongToken(f"the token must be what the endpoint's file {self._path.name} holds.")

    def _known(self) -> bytes | None:
        now = self._clock.now()
        if self._read_at is None or abs(now - self._read_at) >= READ_AGAIN:
            token = read_token(self._path)
            self._token, self._read_at = (None if token is None else token.encode()), now
        return self._token
