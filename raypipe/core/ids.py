"""Identity by content: equal content has an equal id, on a laptop and on a cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

ID_HEX_DIGITS = 12


def canonical_json(value: Json) -> bytes:
    """Return the one JSON spelling of `value`: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_id(prefix: str, value: Json) -> str:
    """Return `prefix-` and the first 12 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return f"{prefix}-{sha256_bytes(canonical_json(value))[:ID_HEX_DIGITS]}"
