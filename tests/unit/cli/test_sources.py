"""`raypipe sources` lists each source, masks what is secret, and says which cannot be reached."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.main import main
from raypipe.config.load import load_config
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

CONFIG = """
name: credit
home: home
data:
  sources:
    - {name: files, format: csv, path: "rows/*.csv"}
    - {name: orders, format: sql, kind: live, url: "sqlite:///rows.db", table: orders, cursor: id}
    - {name: people, format: csv, path: people.csv, join: {by: [age]}}
  label: group
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text("age,group\n1,A\n")
    (tmp_path / "people.csv").write_text("age,x\n1,1\n")
    with sqlite3.connect(tmp_path / "rows.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.executemany("INSERT INTO orders VALUES (?)", [(n,) for n in range(10)])
    database.close()
    file = tmp_path / "credit.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raypipe", "sources", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def test_each_source_is_a_line(config: Path, said: Callable[..., Any]) -> None:
    code, out, err = said(str(config))
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines[:4]] == ["source", "files", "orders", "people"]
    assert "live" in lines[2] and "sqlite:///" in lines[2]
    assert "historical, joined" in lines[3]
    assert "orders: exactly once, by ranges of id" in out


def test_as_json_with_what_is_unread_after_the_position(credit: Path, said: Callable[..., Any]) -> None:
    registry = Registry(load_config(credit).root.registry_url, FakeClock())
    (version,) = registry.data_versions("credit")
    first = replace(version.fragments[0], source="orders", position=2)
    pieces = (first, replace(first, id="f-2", position=6))
    registry.add_data_version("credit", replace(version, id="d-2", fragments=pieces))
    files, orders, people = json.loads(said(str(credit), "--json")[1])
    assert files["extent"] == {"n_pieces": 1, "n_rows": None, "n_bytes": 14}
    assert (orders["position"], orders["extent"]["n_rows"], orders["problem"]) == (6, 3, None)
    assert (people["is_joined"], people["kind"]) == (True, "historical")


def test_a_source_that_cannot_be_reached_fails_and_the_others_are_shown(
    config: Path, said: Callable[..., Any]
) -> None:
    config.write_text(CONFIG.replace("sqlite:///rows.db", "sqlite:///none.db?api_key=abc"))
    code, out, err = said(str(config))
    assert code == 1
    assert err.startswith("raypipe: ") and "none.db of source orders does not exist" in err
    assert "files" in out and "abc" not in out + err
