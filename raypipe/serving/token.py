"""The operator's token: whoever shows it to an endpoint may change which version answers."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.serving.request import RefusedRequest

MIN_CHARACTERS = 32
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


def check_token(path: Path, header: bytes | None) -> None:
    """Raise RefusedRequest unless the header `authorization` shows the token in a file."""
    if header is None or not header.lower().startswith(_SCHEME):
        raise NoToken(
            "this path is the operator's: send the header `authorization: Bearer TOKEN`, with what the file "
            f"{path.name} in the endpoint's home holds."
        )
    token = read_token(path)
    if token is None:
        raise TokenUnset(f"the endpoint's home has no {path.name}; `raypipe up` makes one.")
    if not hmac.compare_digest(header[len(_SCHEME) :].strip(), token.encode()):
        raise WrongToken(
            f"the token must be what the file {path.name} in the endpoint's home holds; it is another one."
        )
