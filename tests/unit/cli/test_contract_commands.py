"""`raypipe data check`, `raypipe contract suggest` and `raypipe quarantine`: from bad rows to mended ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raypipe
from raypipe.core.errors import ConfigError, DataError

Command = Callable[..., Any]
RULES = """  contract:
    max_bad_ratio: 0.9
    columns:
      age: {kind: integer, min: 0}
      name: {nullable: false, on_violation: drop}
    rows: [{must: "age <> 13"}]
    unique: [{by: id}]
"""
ROWS = "id,age,name,group\n1,20,ann,x\n2,-3,bob,y\n3,old,cy,x\n4,40,,x\n1,50,eve,y\n6,13,flo,x\n7,-1,gil,y\n"


@pytest.fixture
def ruled(config: Path) -> Path:
    """Return the config of a pipeline with a contract and rows that break it."""
    place = config.parent / "rows"
    place.mkdir()
    (place / "a.csv").write_text(ROWS)
    config.write_text(config.read_text().replace("serving:", RULES + "serving:"))
    return config


@pytest.fixture
def ingested(ruled: Path) -> Path:
    raypipe.load(ruled).ingest()
    return ruled


def names(config: Path) -> list[str]:
    found: list[str] = raypipe.load(config).data.rows()["name"].to_pylist()
    return found


def mended(config: Path, command: Command, name: str = "bad.csv") -> tuple[Path, list[dict[str, str]]]:
    file = config.parent / name
    command("quarantine", "export", str(file), str(config))
    if file.suffix == ".csv":
        with file.open(newline="") as text:
            return file, list(csv.DictReader(text))
    return file, [json.loads(line) for line in file.read_text().splitlines()]


def write(file: Path, rows: list[dict[str, str]]) -> None:
    if file.suffix == ".csv":
        with file.open("w", newline="") as text:
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_check_tells_rules_and_examples_and_writes_nothing(ruled: Path, command: Command) -> None:
    before = sorted(ruled.parent.rglob("*"))
    found = command("data", "check", str(ruled))
    assert found.code == 1
    lines = found.text.splitlines()
    assert lines[0] == "7 rows: 6 break the contract"
    assert ["age", "must", "be", ">=", "0", "quarantine", "2"] in [line.split() for line in lines]
    assert f"age must be of kind integer. Got old, in {ruled.parent / 'rows' / 'a.csv'}" in lines
    assert [path for path in sorted(ruled.parent.rglob("*")) if "home" not in path.parts] == before
    assert not (ruled.parent / "home" / "credit").exists()
    good = ruled.parent / "good.csv"
    good.write_text("id,age,name,group\n1,20,ann,x\n")
    assert command("data", "check", str(ruled), str(good)).code == 0
    assert command("data", "check", str(ruled), str(good), "--json").json == {
        "n_rows": 1,
        "n_bad": 0,
        "broken": [],
    }


def test_a_version_is_checked(ingested: Path, command: Command) -> None:
    version = raypipe.load(ingested).data.version().id
    assert command("data", "check", str(ingested), "--version", version).code == 0
    ingested.write_text(ingested.read_text().replace("min: 0", "min: 30"))
    assert command("data", "check", str(ingested), "--version", version, "--json").json["n_bad"] == 1
    with pytest.raises(ConfigError, match="PATHS and --version must not be given together"):
        command("data", "check", str(ingested), "x.csv", "--version", version)


def test_what_is_suggested_can_be_pasted(config: Path, command: Command) -> None:
    place = config.parent / "rows"
    place.mkdir()
    (place / "a.csv").write_text("id,age,group\n" + "".join(f"{n},{n % 40},x\n" for n in range(200)))
    first = raypipe.load(config).ingest()
    text = command("contract", "suggest", str(config)).text
    assert "age: {kind: integer, nullable: false, min: 0.0, max: 78.0}" in text
    contract = text.split("data:\n")[1]
    config.write_text(config.read_text().replace("serving:", contract + "serving:"))
    second = raypipe.load(config).ingest()
    assert second.id != first.id and (second.n_rows, second.broken) == (200, ())
    found = command("contract", "suggest", str(config), "--version", first.id, "--json").json
    assert [one["rule"] for one in found["unique"]] == [{"by": ["id"]}]


def test_the_quarantine_is_listed_and_shown(ingested: Path, command: Command) -> None:
    lines = [line.split() for line in command("quarantine", "list", str(ingested)).text.splitlines()]
    assert lines[1:] == [
        ["files", "age", "must", "be", "of", "kind", "integer", "1", "0"],
        ["files", "age", "must", "be", ">=", "0", "2", "0"],
        ["files", "age", "must", "be", "age", "<>", "13", "1", "0"],
        ["files", "id", "must", "be", "unique", "1", "0"],
    ]
    shown = command("quarantine", "show", str(ingested), "--rule", "unique").text
    assert "    id must be unique. Got 1\n" in shown and '"name": "eve"' in shown
    assert len(command("quarantine", "show", str(ingested), "--limit", "2", "--json").json) == 2
    assert command("quarantine", "show", str(ingested), "--source", "others", "--json").json == []


@pytest.mark.parametrize("name", ["bad.csv", "bad.jsonl"])
def test_mended_rows_come_with_the_next_version_once(ingested: Path, command: Command, name: str) -> None:
    file, rows = mended(ingested, command, name)
    assert [row["name"] for row in rows] == ["cy", "bob", "gil", "flo", "eve"]
    for row in rows:
        row["age"] = {"cy": "33", "bob": "30", "gil": "-5", "flo": "14", "eve": "50"}[row["name"]]
        row["id"] = "8" if row["name"] == "eve" else row["id"]
    write(file, rows)
    found = command("quarantine", "readmit", str(file), str(ingested))
    assert found.code == 1
    gil = next(row["_id"] for row in rows if row["name"] == "gil")
    assert found.text.splitlines() == [
        "4 rows come with the next data version, 1 do not",
        f"{gil}: age must be >= 0. Got -5",
    ]
    version = raypipe.load(ingested).ingest()
    assert names(ingested) == ["ann", "cy", "bob", "flo", "eve"]
    origin = raypipe.load(ingested).data.rows(columns=["_source", "age"]).to_pylist()
    assert origin[1] == {"_source": "files (readmitted)", "age": 33}
    assert raypipe.load(ingested).ingest() == version
    again = command("quarantine", "readmit", str(file), str(ingested)).text
    assert again.count("it was readmitted before") == 4
    listed = command("quarantine", "list", str(ingested), "--json").json
    assert {one["rule"]: one["n_readmitted"] for one in listed}["id must be unique"] == 1


def test_a_mended_row_must_not_repeat_another(ingested: Path, command: Command) -> None:
    file, rows = mended(ingested, command)
    write(file, [{**row, "age": "1", "id": "1"} for row in rows if row["name"] in ("bob", "eve")])
    found = command("quarantine", "readmit", str(file), str(ingested), "--json").json
    assert (found["accepted"], len(found["refused"])) == ([], 2)
    assert {one["reason"] for one in found["refused"]} == {"id must be unique: another row has the same"}


def test_a_mended_row_goes_when_its_original_comes_in(ingested: Path, command: Command) -> None:
    file, rows = mended(ingested, command)
    write(file, [{**row, "age": "30"} for row in rows if row["name"] in ("bob", "cy")])
    command("quarantine", "readmit", str(file), str(ingested))
    raypipe.load(ingested).ingest()
    assert sorted(names(ingested)) == ["ann", "bob", "cy"]
    ingested.write_text(ingested.read_text().replace("min: 0", "min: -3"))
    raypipe.load(ingested).ingest()
    assert sorted(names(ingested)) == ["ann", "bob", "cy", "gil"], "bob came himself, and cy was mended"
    (ingested.parent / "rows" / "a.csv").write_text("id,age,name,group\n1,20,ann,x\n")
    raypipe.load(ingested).ingest()
    assert names(ingested) == ["ann"]


def test_erased_people_go_from_mended_rows(ingested: Path, command: Command) -> None:
    file, rows = mended(ingested, command)
    write(file, [{**row, "age": "30"} for row in rows if row["name"] in ("bob", "cy")])
    command("quarantine", "readmit", str(file), str(ingested))
    raypipe.load(ingested).ingest()
    command("data", "erase", "--key", "name=bob", "--reason", "asked", str(ingested), "--yes")
    raypipe.load(ingested).ingest()
    assert sorted(names(ingested)) == ["ann", "cy"]
    left = list((ingested.parent / "home" / "credit" / "data" / "readmitted").rglob("*.parquet"))
    assert left and all(b"bob" not in path.read_bytes() for path in left)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("bad.txt", "", r"FILE must end in .csv or .jsonl. Got '.*bad.txt'"),
        ("bad.csv", "id,age\n1,2\n", r"row 1 of .* must have its `_id`, as it was exported. Got None"),
        ("bad.jsonl", "{", r"cannot be read as mended rows"),
        ("bad.jsonl", "[1]\n", r"row 1 of .* must be a JSON object"),
    ],
)
def test_a_file_of_something_else_is_a_sentence(
    ingested: Path, command: Command, name: str, text: str, told: str
) -> None:
    file = ingested.parent / name
    file.write_text(text)
    with pytest.raises(DataError, match=told):
        command("quarantine", "readmit", str(file), str(ingested))


def test_a_row_that_is_not_there_is_told(ingested: Path, command: Command) -> None:
    file = ingested.parent / "bad.csv"
    file.write_text("_id,age\nq-nothing,2\n")
    found = command("quarantine", "readmit", str(file), str(ingested))
    assert found.code == 1 and "q-nothing: it is not in the quarantine of d-" in found.text
