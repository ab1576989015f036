"""Where a client finds its token: an argument, a file, or the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raypipe.core.errors import ConfigError

TOKEN_VARIABLE = "RAYPIPE_TOKEN"
TOKEN_FILE_VARIABLE = "RAYPIPE_TOKEN_FILE"


def find_token(
    token: str | None, token_file: str | Path | None, environment: Mapping[str, str]
) -> str | None:
    """Return the token: the argument, or what a file holds, or what the environment says; None for none.

    Raises ConfigError for both arguments, a file that cannot be read, and what is no token.
    """
    if token is not None and token_file is not None:
        raise ConfigError("token and token_file must not be given both.")
    if token is not None:
        return _checked(token, "token")
    if token_file is not None:
        return _read(Path(token_file), "token_file")
    if TOKEN_VARIABLE in environment:
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    if TOKEN_FILE_VARIABLE in environment:
        return _read(Path(environment[TOKEN_FILE_VARIABLE]), TOKEN_FILE_VARIABLE)
    return None


def _read(path: Path, whose: str) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(
            f"{whose} must be a file that can be read. Got {path}: {error.strerror}."
        ) from error
    return _checked(text, f"what {whose} {path} holds")


def _checked(text: str, whose: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{whose} must be a token: printable ASCII without spaces. Got something else.")
    return token
