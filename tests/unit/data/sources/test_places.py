"""Nobody reads a password off a screen."""

from __future__ import annotations

import pytest

from raypipe.data.sources.places import masked, without


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("rows/*.csv", "rows/*.csv"),
        ("postgresql+psycopg://me:p%40ss@db:5432/x", "postgresql+psycopg://me:***@db:5432/x"),
        ("postgresql://me:p@ss:w@db/x", "postgresql://me:***@db/x"),
        ("s3://KEY:SECRET@bucket/a?region=eu", "s3://KEY:***@bucket/a?region=eu"),
        ("https://me@api/x?page=1&api_key=abc&q=2", "https://me@api/x?page=1&api_key=***&q=2"),
        ("https://api/x?access_token=abc", "https://api/x?access_token=***"),
        ("https://api/a:b@c", "https://api/a:b@c"),
    ],
)
def test_passwords_and_keys_are_masked(place: str, shown: str) -> None:
    assert masked(place) == shown


def test_a_secret_is_taken_out_of_a_text() -> None:
    assert without("abc", "refused abc!") == "refused ***!"
    assert without("", "as it was") == "as it was"
