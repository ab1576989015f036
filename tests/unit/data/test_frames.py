from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import DataError
from raypipe.data.frames import MAX_PAYLOAD_BYTES, frame, read_frames

payloads = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def joined(parts: list[bytes]) -> bytes:
    return b"".join(map(frame, parts))


@given(payloads)
def test_what_is_framed_is_read(parts: list[bytes]) -> None:
    segment = read_frames(joined(parts))
    assert (list(segment.payloads), segment.n_torn_bytes, segment.n_damaged_bytes) == (parts, 0, 0)


@given(payloads, st.binary(min_size=1, max_size=40), st.data())
def test_a_torn_tail_costs_only_the_last_record(parts: list[bytes], last: bytes, data: st.DataObject) -> None:
    whole = frame(last)
    n_kept = data.draw(st.integers(1, len(whole) - 1))
    segment = read_frames(joined(parts) + whole[:n_kept])
    assert (list(segment.payloads), segment.n_torn_bytes, segment.n_damaged_bytes) == (parts, n_kept, 0)


@given(payloads, st.integers(1, 64))
def test_zeros_after_a_power_cut_are_no_records(parts: list[bytes], n_zeros: int) -> None:
    segment = read_frames(joined(parts) + b"\0" * n_zeros)
    assert (list(segment.payloads), segment.n_torn_bytes) == (parts, n_zeros)


@given(st.data())
def test_damage_in_the_middle_is_said_and_the_rest_is_read(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.binary(min_size=4, max_size=20), min_size=3, max_size=6, unique=True))
    which = data.draw(st.integers(0, len(parts) - 2))
    start = len(joined(parts[:which]))
    content = bytearray(joined(parts))
    content[start + data.draw(st.integers(4, 7 + len(parts[which])))] ^= 0xFF
    segment = read_frames(bytes(content))
    assert list(segment.payloads) == parts[:which] + parts[which + 1 :]
    assert segment.n_damaged_bytes == len(frame(parts[which]))
    assert segment.n_torn_bytes == 0


def test_a_damaged_length_does_not_hide_what_follows() -> None:
    content = bytearray(joined([b"first", b"second", b"third"]))
    content[3] = 0x7F
    segment = read_frames(bytes(content))
    assert segment.payloads == (b"second", b"third")
    assert segment.n_damaged_bytes == len(frame(b"first"))


@pytest.mark.parametrize("payload", [b"", bytes(MAX_PAYLOAD_BYTES + 1)])
def test_payloads_have_bounds(payload: bytes) -> None:
    with pytest.raises(DataError, match="a record must have 1 to"):
        frame(payload)


def test_a_segment_cut_at_any_byte_gives_the_whole_records_before_it() -> None:
    parts = [b"first", b"second of them", b"x"]
    content = joined(parts)
    ends = [len(joined(parts[: number + 1])) for number in range(len(parts))]
    for n_kept in range(len(content) + 1):
        segment = read_frames(content[:n_kept])
        n_whole = sum(end <= n_kept for end in ends)
        assert list(segment.payloads) == parts[:n_whole]
        assert segment.n_torn_bytes == n_kept - len(joined(parts[:n_whole]))
        assert segment.n_damaged_bytes == 0


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_one_flipped_byte_costs_one_record_and_is_said(mask: int) -> None:
    parts = [b"first", b"second of them", b"third"]
    for place in range(len(joined(parts))):
        content = bytearray(joined(parts))
        content[place] ^= mask
        hit = next(number for number in range(3) if place < len(joined(parts[: number + 1])))
        segment = read_frames(bytes(content))
        assert list(segment.payloads) == parts[:hit] + parts[hit + 1 :]
        assert segment.n_damaged_bytes + segment.n_torn_bytes == len(frame(parts[hit]))
