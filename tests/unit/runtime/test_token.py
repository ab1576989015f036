"""Tokens: made for this user alone, found where Ray looks, and the environment put back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raypipe.core.errors import ClusterError
from raypipe.runtime.token import environment, find_token, make_token


def test_only_this_user_may_read_it_and_each_is_new(tmp_path: Path) -> None:
    make_token(tmp_path / "a")
    first = (tmp_path / "a").read_text()
    make_token(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert len(first) == 64
    assert (tmp_path / "a").read_text() != first


def test_where_it_is_found(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("default\n")
    (tmp_path / "named").write_text("named\n")
    named = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "named")}
    assert find_token({}, tmp_path) == "default"
    assert find_token(named, tmp_path) == "named"
    assert find_token({**named, "RAY_AUTH_TOKEN": "given "}, tmp_path) == "given"
    assert find_token({**named, "RAY_AUTH_MODE": "Disabled"}, tmp_path) is None
    assert find_token({}, tmp_path / "nobody") is None


def test_a_named_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="RAY_AUTH_TOKEN_PATH must name a file"):
        find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "absent")}, tmp_path)


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYPIPE_TEST_A", "before")
    monkeypatch.setenv("RAYPIPE_TEST_B", "before")
    monkeypatch.delenv("RAYPIPE_TEST_C", raising=False)
    changes = {"RAYPIPE_TEST_A": "during", "RAYPIPE_TEST_B": None, "RAYPIPE_TEST_C": "during"}
    with pytest.raises(KeyError), environment(changes):
        assert os.environ["RAYPIPE_TEST_A"] == "during"
        assert "RAYPIPE_TEST_B" not in os.environ
        assert os.environ["RAYPIPE_TEST_C"] == "during"
        raise KeyError
    assert (os.environ["RAYPIPE_TEST_A"], os.environ["RAYPIPE_TEST_B"]) == ("before", "before")
    assert "RAYPIPE_TEST_C" not in os.environ
