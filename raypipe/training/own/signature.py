"""Pickles that a home made itself: signed with a key that lies in it, and looked at by nobody else.

A pickle can run anything when it is loaded, and no scanner can tell. So only bytes are loaded that were
signed here (HMAC-SHA256), after a person wrote `allow_pickle: true`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from raypipe.core.errors import ArtifactError
from raypipe.core.secret_file import kept_key

PICKLE = "model.pickle"
SIGNATURE = "model.pickle.hmac"
KEY_NAME = "pickle.key"
_KEPT_IN = ("models", "runs", "staging")


def key_near(folder: Path) -> Path | None:
    """Return where the key of a pipeline lies, for a folder below its models, runs or staged versions."""
    for parent in folder.absolute().parents:
        if parent.name in _KEPT_IN:
            return parent.parent / KEY_NAME
    return None


def make_key(path: Path) -> None:
    """Make a pipeline's key unless it has one."""
    kept_key(path, secrets.token_hex(32), secrets.token_hex(8))


def sign(folder: Path, data: bytes, key: Path, beside: bytes) -> None:
    """Write a pickle with its signature, which covers what lies beside it as well."""
    (folder / PICKLE).write_bytes(data)
    (folder / SIGNATURE).write_text(_signature(data, key, beside), encoding="ascii")


def signed_bytes(folder: Path, beside: bytes) -> bytes:
    """Return the pickle in a folder; raises ArtifactError unless it was signed in the home where it lies."""
    key = key_near(folder)
    if key is None or not key.is_file():
        raise ArtifactError(
            f"{folder / PICKLE} is a pickle, and loaded only in the home that signed it: there is no "
            f"{key or KEY_NAME} here. Nothing of it was loaded; restore the key, or train again."
        )
    try:
        data = (folder / PICKLE).read_bytes()
        told = (folder / SIGNATURE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{folder} holds no signed pickle: {error}. Nothing was loaded.") from error
    if not hmac.compare_digest(told, _signature(data, key, beside)):
        raise ArtifactError(
            f"{folder / PICKLE} must have the signature of this home, by {key}. Got another: it was changed, "
            "or made elsewhere. Nothing of it was loaded; restore the folder, or train again."
        )
    return data


def _signature(data: bytes, key: Path, beside: bytes) -> str:
    text = b"raypipe signed pickle\0" + hashlib.sha256(data).digest() + hashlib.sha256(beside).digest()
    return hmac.new(key.read_bytes().strip(), text, hashlib.sha256).hexdigest()
