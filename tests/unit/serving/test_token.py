from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import StorageError
from raypipe.serving.token import Guard, NoToken, TokenUnset, WrongToken, keep_token, read_token
from raypipe.testing import FakeClock

TOKEN, OTHER = "a" * 64, "b" * 64


def guard(file: Path, clock: FakeClock | None = None) -> Guard:
    return Guard(file, clock or FakeClock(), "this path is the operator's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "operator.token"


def test_the_first_token_is_kept_for_this_user_alone(file: Path) -> None:
    keep_token(file, TOKEN)
    keep_token(file, OTHER)
    assert read_token(file) == TOKEN
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("damaged", [b"", b"\n", b"a" * 31, b"\xff" * 64])
def test_what_is_no_token_is_replaced(file: Path, damaged: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(damaged)
    assert read_token(file) is None
    keep_token(file, TOKEN)
    assert read_token(file) == TOKEN


def test_a_file_that_cannot_be_read_is_said_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be read"):
        keep_token(tmp_path / "file" / "operator.token", TOKEN)


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"BEARER {TOKEN}"])
def test_who_shows_the_token_may(file: Path, header: str) -> None:
    keep_token(file, TOKEN)
    guard(file).check(header.encode())


@pytest.mark.parametrize(
    ("header", "refusal", "status"),
    [
        (None, NoToken, 401),
        (b"", NoToken, 401),
        (b"Basic abc", NoToken, 401),
        (b"Bearer", NoToken, 401),
        (b"Bearer ", WrongToken, 403),
        (f"Bearer {OTHER}".encode(), WrongToken, 403),
        (f"Bearer {TOKEN}a".encode(), WrongToken, 403),
        (b"Bearer \xff", WrongToken, 403),
    ],
)
def test_who_does_not_is_told_in_one_sentence(
    file: Path, header: bytes | None, refusal: type[NoToken], status: int
) -> None:
    keep_token(file, TOKEN)
    with pytest.raises(refusal) as caught:
        guard(file).check(header)
    assert caught.value.status == status
    assert "operator.token" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_without_a_token_nobody_may(file: Path) -> None:
    for shown in (b"Bearer ", b"Bearer a"):
        with pytest.raises(TokenUnset, match="`raypipe up` makes one"):
            guard(file).check(shown)


def test_a_token_that_is_replaced_counts_within_a_second(file: Path) -> None:
    clock = FakeClock()
    keep_token(file, TOKEN)
    asked = guard(file, clock)
    asked.check(f"Bearer {TOKEN}".encode())
    file.write_text(OTHER)
    asked.check(f"Bearer {TOKEN}".encode())
    clock.advance(1)
    asked.check(f"Bearer {OTHER}".encode())
    with pytest.raises(WrongToken):
        asked.check(f"Bearer {TOKEN}".encode())
    file.unlink()
    clock.advance(-1)
    with pytest.raises(TokenUnset):
        asked.check(f"Bearer {OTHER}".encode())


def test_a_token_that_cannot_be_read_lets_nobody_pass(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        guard(tmp_path / "token").check(f"Bearer {TOKEN}".encode())
