"""The bytes of a log segment: frames of length, CRC-32, payload; and what is read after an accident."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.core.errors import DataError

_HEADER = struct.Struct("<II")
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Segment:
    """What a segment holds.

    `n_torn_bytes` at the end belong to no whole frame: the writer, or the machine, died while writing them.
    `n_damaged_bytes` lie before frames that are whole: something has changed bytes that were written.
    """

    payloads: tuple[bytes, ...]
    n_torn_bytes: int
    n_damaged_bytes: int


def frame(payload: bytes) -> bytes:
    """Return a payload of 1 byte to 64 MiB as a frame; raises DataError.

    No payload is empty, since the zeros that a power cut may leave would read as one.
    """
    return frames((payload,))


def frames(payloads: Sequence[bytes]) -> bytes:
    """Return payloads as frames, one after the other; raises DataError as `frame` does."""
    pack, crc32 = _HEADER.pack, zlib.crc32
    parts: list[bytes] = []
    for payload in payloads:
        n_bytes = len(payload)
        if not 0 < n_bytes <= MAX_PAYLOAD_BYTES:
            raise DataError(f"a record must have 1 to {MAX_PAYLOAD_BYTES} bytes. Got {n_bytes}.")
        parts += (pack(n_bytes, crc32(payload)), payload)
    return b"".join(parts)


def read_frames(data: bytes) -> Segment:
    """Read all whole frames, stepping over what is damaged and saying how much that was."""
    payloads: list[bytes] = []
    offset = n_damaged = 0
    while True:
        offset = _read_whole(data, offset, payloads)
        found = _next_frame(data, offset + 1)
        if found is None:
            return Segment(tuple(payloads), len(data) - offset, n_damaged)
        n_damaged += found - offset
        offset = found


def _read_whole(data: bytes, offset: int, payloads: list[bytes]) -> int:
    """Read frames from `offset` on for as long as they are whole, and return where they end."""
    unpack, crc32, size, end = _HEADER.unpack_from, zlib.crc32, _HEADER.size, len(data)
    while offset + size < end:
        length, checksum = unpack(data, offset)
        payload = data[offset + size : offset + size + length]
        if not 0 < length == len(payload) <= MAX_PAYLOAD_BYTES or crc32(payload) != checksum:
            break
        payloads.append(payload)
        offset += size + length
    return offset


def _payload_at(data: bytes, offset: int) -> bytes | None:
    start = offset + _HEADER.size
    if start > len(data):
        return None
    length, checksum = _HEADER.unpack_from(data, offset)
    if not 0 < length <= min(MAX_PAYLOAD_BYTES, len(data) - start):
        return None
    payload = data[start : start + length]
    return payload if zlib.crc32(payload) == checksum else None


def _next_frame(data: bytes, offset: int) -> int | None:
    return next((at for at in range(offset, len(data)) if _payload_at(data, at) is not None), None)
