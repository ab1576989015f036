"""What is redacted is written nowhere, and what is kept in its place can be joined but not read."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import get_args

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.committer import commit_once, read_predictions
from raypipe.data.live import decode_inputs
from raypipe.data.schema import Column, ColumnKind
from raypipe.serving.capture import AnsweredRow, is_sampled, open_capture
from raypipe.serving.config import CaptureSettings
from raypipe.serving.redaction import Redaction
from raypipe.testing import FakeClock

KEY = b"k" * 64
RULES = Redaction({"mail": "drop", "customer": "hash", "phone": "mask"}, KEY)
AT = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def redacted(row: dict[str, Json], redaction: Redaction = RULES) -> dict[str, Json]:
    found: dict[str, Json] = json.loads(redaction.text(msgspec.Raw(json.dumps(row).encode())))
    return found


def hashed(text: str) -> dict[str, Json]:
    return {"hash": hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()}


def test_a_column_is_left_out_hashed_or_masked_and_null_stays() -> None:
    row: dict[str, Json] = {"mail": "a@b.c", "customer": "Ann", "phone": 5, "amount": 1.5}
    assert redacted(row) == {"customer": hashed("Ann"), "phone": {"masked": True}, "amount": 1.5}
    assert redacted({"mail": None, "customer": None, "phone": None}) == {"customer": None, "phone": None}
    assert redacted({}) == {}


@pytest.mark.parametrize(
    ("value", "text"), [("12", "12"), (12, "12"), (12.0, "12"), (1.5, "1.5"), (True, "true"), ([1], "[1]")]
)
def test_a_hash_is_that_of_the_value_as_text(value: Json, text: str) -> None:
    assert redacted({"customer": value})["customer"] == hashed(text)


@given(VALUES, VALUES, VALUES, VALUES)
def test_what_is_not_named_stays_as_it_came(mail: Json, customer: Json, phone: Json, other: Json) -> None:
    row = {"mail": mail, "customer": customer, "phone": phone, "other": other}
    found = redacted(row)
    assert "mail" not in found
    assert found["other"] == other
    assert (found["customer"] is None, found["phone"] is None) == (customer is None, phone is None)


@pytest.mark.parametrize(
    "received",
    [
        b'{"ma\\u0069l": "s3cret", "customer": "s3cret"}',
        b'{"mail": "x", "mail": "s3cret", "phone": 1, "phone": "s3cret"}',
        b'{"customer": "s3cret\xff", "phone": {"of": "s3cret"}}',
        b'{"mail": ' + b"[" * 5000 + b'"s3cret"' + b"]" * 5000 + b"}",
        b'["s3cret"]',
    ],
)
def test_a_value_is_found_however_it_is_written(received: bytes) -> None:
    assert "s3cret" not in RULES.text(msgspec.Raw(received))


@pytest.mark.parametrize("kind", get_args(ColumnKind))
def test_what_stands_for_a_value_is_none_of_any_column(kind: ColumnKind) -> None:
    columns = [Column("customer", kind, True), Column("phone", kind, True)]
    text = RULES.text(msgspec.Raw(b'{"customer": "Ann", "phone": "1"}'))
    assert decode_inputs(pa.chunked_array([[text]]), columns).to_pylist() == [
        {"customer": None, "phone": None}
    ]


def test_only_what_is_left_reaches_the_log_and_the_table(folder: PipelineHome, clock: FakeClock) -> None:
    rules = {"mail": "drop", "customer": "hash", "phone": "mask"}
    capture = open_capture(folder, CaptureSettings.model_validate({"redact": rules}), "r1", clock)
    row = b'{"mail": "s3cret", "customer": "s3cret", "phone": "s3cret", "amount": 2}'
    capture.predictions([AnsweredRow("a", msgspec.Raw(row), "good", None)], "v1", AT)
    assert all(b"s3cret" not in path.read_bytes() for path in folder.root.rglob("*") if path.is_file())
    capture.close()
    commit_once(folder)
    [inputs] = read_predictions(folder)["inputs"].to_pylist()
    kept = json.loads(inputs)
    key = folder.capture_key.read_bytes()
    assert kept["customer"]["hash"] == hmac.new(key, b"s3cret", hashlib.sha256).hexdigest()
    assert (kept["amount"], kept["phone"], sorted(kept)) == (
        2,
        {"masked": True},
        ["amount", "customer", "phone"],
    )


def test_no_key_is_made_where_nothing_is_hashed(folder: PipelineHome, clock: FakeClock) -> None:
    open_capture(folder, CaptureSettings(redact={"mail": "drop"}), "r1", clock)
    assert not folder.capture_key.exists()


def test_a_sample_is_chosen_by_id_and_of_about_the_share(folder: PipelineHome, clock: FakeClock) -> None:
    capture = open_capture(folder, CaptureSettings(sample_ratio=0.25), "r1", clock)
    rows = [AnsweredRow(f"r1-{n}", msgspec.Raw(b"{}"), "good", None) for n in range(4000)]
    capture.predictions(rows[:1000], "v1", AT)
    capture.predictions(rows[1000:], "v1", AT)
    capture.close()
    commit_once(folder)
    ids = read_predictions(folder)["id"].to_pylist()
    assert set(ids) == {row.id for row in rows if is_sampled(row.id, 0.25)}
    assert (capture.state().n_captured, capture.state().n_left_out) == (len(ids), 4000 - len(ids))
    assert 900 < len(ids) < 1100
    assert all(is_sampled(row.id, 0.5) for row in rows if is_sampled(row.id, 0.25))
