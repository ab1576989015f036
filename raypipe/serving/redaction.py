"""What is kept of a row in place of what was received: columns left out, hashed with a key, or masked.

What stands for a value is an object, `{"hash": "..."}` or `{"masked": true}`, which no column holds: whoever
reads captured rows by the kinds of their columns finds nothing there, whatever the config says by then.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from raypipe.serving.config import Redact

_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NULL, _MASKED = b"null", msgspec.Raw(b'{"masked":true}')


@dataclass(frozen=True)
class Redaction:
    """Redacts rows; `key` is what values are hashed with, needed where a rule says so."""

    rules: Mapping[str, Redact] = field(default_factory=dict)
    key: bytes = field(default=b"", repr=False)

    def text(self, received: msgspec.Raw) -> str:
        """Return a row as it may be kept, as JSON; a row that cannot be taken apart has no column then."""
        return str(self._redacted(received) if self.rules else received, "utf-8", "replace")

    def _redacted(self, received: msgspec.Raw) -> bytes:
        try:
            row = _ROW.decode(received)
        except _NOT_JSON:
            return b"{}"
        kept = {name: self._kept(name, raw) for name, raw in row.items() if self.rules.get(name) != "drop"}
        return msgspec.json.encode(kept)

    def _kept(self, name: str, raw: msgspec.Raw) -> msgspec.Raw:
        rule = self.rules.get(name)
        if rule is None or bytes(raw) == _NULL:
            return raw
        return _MASKED if rule == "mask" else msgspec.Raw(b'{"hash":"%s"}' % self._hash(raw))

    def _hash(self, raw: msgspec.Raw) -> bytes:
        return hmac.digest(self.key, plain(raw), "sha256").hex().encode()


def plain(raw: msgspec.Raw) -> bytes:
    """Return what is hashed of a value: a text itself, else its JSON; 12.0 is 12."""
    try:
        value = msgspec.json.decode(raw)
    except _NOT_JSON:
        return bytes(raw)
    if isinstance(value, str):
        return value.encode()
    whole = isinstance(value, float) and value.is_integer()
    return msgspec.json.encode(int(value) if whole else value, order="sorted")
