"""The token that guards a Ray: whoever shows it may run code there."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raypipe.core.errors import ClusterError
from raypipe.core.files import storage_errors


def make_token(path: Path) -> None:
    """Write a new token that only this user can read."""
    with storage_errors(path):
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))


def find_token(environment: Mapping[str, str], user_home: Path) -> str | None:
    """Return the token for a Ray that somebody else started, where Ray itself would look for it."""
    if environment.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if token := environment.get("RAY_AUTH_TOKEN"):
        return token.strip()
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else user_home / ".ray" / "auth_token"
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        if named:
            raise ClusterError(
                f"RAY_AUTH_TOKEN_PATH must name a file with the cluster's token. Got {named!r}, which is "
                f"absent; copy the token there."
            ) from None
        return None


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change variables of this process, None removing one, and put them back at the end."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _refresh_ray()


def _refresh_ray() -> None:
    """Let a Ray that is imported already read the environment again; it keeps what it read first."""
    if "ray" not in sys.modules:
        return
    from ray._private import ray_constants

    raylet = sys.modules["ray._raylet"]
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, not ray_constants.IS_WINDOWS_OR_OSX
    )
