"""Where rows are, as a person may see it: without passwords and keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

HIDDEN = "***"
_NAME = re.compile(r"(?i)key|token|secret|passw|pwd|auth|signature|credential|sasl\.jaas|\bsas\b")
_USER = re.compile(r"(?<=://)([^/@\s:]*)(?::[^/\s]*)?@")
Value = TypeVar("Value")
_SECRET = re.compile(
    r"(?i)([?&;][^=&;\s]*(?:key|token|secret|password|passwd|pwd|signature|sig|credential|sas)[^=&;\s]*=)[^&;\s]+"
)


def masked(place: str) -> str:
    """Return a URL without the password of its user and without the values of secret parameters."""
    return _SECRET.sub(r"\1***", _USER.sub(_user, place))


def hidden(values: Mapping[str, Value]) -> dict[str, Value | str]:
    """Return named values without those whose name says that they are secret."""
    return {name: HIDDEN if _NAME.search(name) else value for name, value in values.items()}


def without(secret: str, text: str) -> str:
    """Return a text, such as a library's error, in which a secret is not to be read."""
    return text.replace(secret, "***") if secret else text


def _user(found: re.Match[str]) -> str:
    return f"{found[1]}:***@" if ":" in found[0] else f"{found[1]}@"
