from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.core.errors import ConfigError, ContractError, DataError, LabelError, SchemaError, StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.core.progress import Step
from raypipe.data.config import DataSettings
from raypipe.data.fragments import read_quarantine, read_rows
from raypipe.data.ingest import ingest
from raypipe.data.versions import DataVersion
from raypipe.testing import FakeClock
from raypipe.testing.data import VersionsInMemory

CSV = """age,city,at,y
30,Bern,2026-01-01T00:00:00Z,1
-4,Bern,2026-01-02T00:00:00Z,0
50,,2026-01-03T00:00:00Z,1
60,Rome,,0
70,Rome,2026-01-05T00:00:00Z,
"""


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path / "home").pipeline("p")


def settings(path: Path, **more: Any) -> DataSettings:
    source = {"name": "people", "format": path.suffix[1:], "path": str(path)}
    return DataSettings.model_validate({"sources": [source], "label": "y", **more})


def csv(tmp_path: Path, text: str = CSV, name: str = "people.csv") -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def run(
    declared: DataSettings, folder: PipelineHome, versions: VersionsInMemory | None = None
) -> DataVersion:
    return ingest(declared, folder, versions or VersionsInMemory(), clock=FakeClock())


def test_rows_become_a_version(tmp_path: Path, folder: PipelineHome) -> None:
    rules = {"columns": {"age": {"min": 0, "max": 120}}}
    version = run(settings(csv(tmp_path), time="at", contract=rules), folder)
    assert version.n_rows == 2 and version.n_unlabelled == 1
    assert [(rule.rule, rule.column, rule.action, rule.n_rows) for rule in version.broken] == [
        ("must be >= 0", "age", "quarantine", 1),
        ("time is null", "at", "drop", 1),
    ]
    assert [(column.name, column.kind, column.nullable) for column in version.columns] == [
        ("age", "integer", False),
        ("city", "category", True),
        ("at", "timestamp", False),
        ("y", "integer", False),
    ]
    (fragment,) = version.fragments
    assert (fragment.source, fragment.n_rows, fragment.n_bytes) == ("people", 5, len(CSV))
    assert version.created_at == FakeClock().now()


def test_rows_are_read_back_with_their_origin_if_asked(tmp_path: Path, folder: PipelineHome) -> None:
    version = run(settings(csv(tmp_path)), folder)
    assert read_rows(folder, version).column_names == ["age", "city", "at", "y"]
    origin = read_rows(folder, version, ["_source", "_ingested_at"])
    assert set(origin["_source"].to_pylist()) == {"people"}
    assert set(origin["_ingested_at"].to_pylist()) == {FakeClock().now()}


def test_every_old_version_can_be_read(tmp_path: Path, folder: PipelineHome) -> None:
    first = run(settings(csv(tmp_path)), folder)
    second = run(settings(csv(tmp_path, "z,y\n1,2\n")), folder)
    assert first.id != second.id and first.table_version < second.table_version
    assert read_rows(folder, first)["age"].to_pylist() == [30, -4, 50, 60]
    assert read_rows(folder, second).to_pylist() == [{"z": 1, "y": 2}]


def test_what_is_known_is_not_written_again(tmp_path: Path, folder: PipelineHome) -> None:
    versions = VersionsInMemory()
    version = run(settings(csv(tmp_path)), folder, versions)
    elsewhere = settings(csv(tmp_path, name="moved/people.csv"))
    assert run(elsewhere, folder, versions) is version
    assert read_rows(folder, version).num_rows == 4


@pytest.mark.parametrize(
    ("more", "is_same"),
    [
        ({"split": {"test": 0.3}}, True),
        ({"drop": ["city"]}, True),
        ({"contract": {"min_rows": 2}}, True),
        ({"where": "age > 0"}, False),
        ({"time": "at"}, False),
        ({"label": {"name": "old", "expression": "age > 40"}}, False),
        ({"contract": {"columns": {"age": {"min": -10}}}}, False),
    ],
)
def test_only_what_changes_rows_changes_the_id(
    tmp_path: Path, folder: PipelineHome, more: dict[str, Any], is_same: bool
) -> None:
    path = csv(tmp_path)
    assert (run(settings(path), folder).id == run(settings(path, **more), folder).id) is is_same


def test_a_second_write_of_the_same_content_does_no_harm(tmp_path: Path, folder: PipelineHome) -> None:
    rules = {"columns": {"age": {"min": 0}}}
    declared = settings(csv(tmp_path), contract=rules)
    first, second = run(declared, folder), run(declared, folder)
    assert (first.id, first.table_version + 1) == (second.id, second.table_version)
    assert read_rows(folder, first) == read_rows(folder, second)
    assert read_quarantine(folder, second).num_rows == 1


KINDS = {
    "age": ("integer", "old", "30", 30),
    "height": ("number", "1,8", "1.8", 1.8),
    "member": ("boolean", "maybe", "true", True),
    "at": ("timestamp", "soon", "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
}


def of_kind(tmp_path: Path, format: str, column: str, action: str) -> DataSettings:
    kind, bad, good, _ = KINDS[column]
    path = tmp_path / f"a.{format}"
    if format == "csv":
        path.write_text(f'{column},y\n{good},1\n"{bad}",2\n,3\n')
    else:
        path.write_text("".join(f"{json.dumps({column: one, 'y': 1})}\n" for one in (good, bad, None)))
    columns = {column: {"kind": kind, "on_violation": action}}
    source = {"name": "s", "format": format, "path": str(path)}
    return DataSettings.model_validate(
        {"sources": [source], "label": "y", "contract": {"columns": columns, "max_bad_ratio": 1}}
    )


@pytest.mark.parametrize("column", KINDS)
@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("action", ["drop", "quarantine"])
def test_a_value_that_is_not_of_the_declared_kind_breaks_a_rule(
    tmp_path: Path, folder: PipelineHome, format: str, column: str, action: str
) -> None:
    kind, bad, _, value = KINDS[column]
    version = run(of_kind(tmp_path, format, column, action), folder)
    assert read_rows(folder, version)[column].to_pylist() == [value, None]
    assert [(one.rule, one.column, one.action, one.n_rows) for one in version.broken] == [
        (f"must be of kind {kind}", column, action, 1)
    ]
    aside = read_quarantine(folder, version).to_pylist()
    assert [(one["value"], json.loads(one["row"])[column]) for one in aside] == (
        [(bad, bad)] if action == "quarantine" else []
    )


@pytest.mark.parametrize("column", KINDS)
def test_a_value_of_another_kind_may_stop_the_batch(
    tmp_path: Path, folder: PipelineHome, column: str
) -> None:
    kind, bad, *_ = KINDS[column]
    with pytest.raises(ContractError, match=f"{column!r} must be of kind {kind}, the first with {bad!r}; "):
        run(of_kind(tmp_path, "csv", column, "stop"), folder)


def test_a_number_that_is_no_integer_is_none_in_parquet_either(tmp_path: Path, folder: PipelineHome) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"n": [1.0, 1.5, None], "y": [1, 1, 1]}), path)
    version = run(settings(path, contract={"columns": {"n": {"kind": "integer"}}}), folder)
    assert read_rows(folder, version)["n"].to_pylist() == [1, None]
    assert read_quarantine(folder, version)["value"].to_pylist() == ["1.5"]


def test_rows_of_another_kind_are_sorted_out_before_anything_is_asked_of_them(
    tmp_path: Path, folder: PipelineHome
) -> None:
    path = csv(tmp_path, "age,y\n30,1\nold,0\n10,0\n")
    rules = {"columns": {"age": {"kind": "integer", "min": 20}}, "max_bad_ratio": 1}
    label = {"name": "z", "expression": "age > 20"}
    version = run(settings(path, contract=rules, where="y < 2", label=label), folder)
    assert read_rows(folder, version).to_pylist() == [{"age": 30, "y": 1, "z": True}]
    assert [one.n_rows for one in version.broken] == [1, 1] and version.fragments[0].n_bad == 2


def test_the_quarantine_says_which_row_of_which_version_broke_what(
    tmp_path: Path, folder: PipelineHome
) -> None:
    rules = {"columns": {"age": {"min": 0}}}
    version = run(settings(csv(tmp_path), contract=rules), folder)
    (row,) = read_quarantine(folder, version).to_pylist()
    assert json.loads(row.pop("row"))["city"] == "Bern"
    assert row.pop("id").startswith("q-")
    assert row == {
        "quarantined_at": FakeClock().now(),
        "source": "people",
        "piece": str(tmp_path / "people.csv"),
        "rule": "must be >= 0",
        "column": "age",
        "value": "-4",
    }


def test_a_computed_label_and_where(tmp_path: Path, folder: PipelineHome) -> None:
    label = {"name": "old", "expression": "age > 40"}
    version = run(settings(csv(tmp_path), label=label, where="city IS NOT NULL"), folder)
    assert read_rows(folder, version)["old"].to_pylist() == [False, False, True, True]


def test_nan_is_no_label(tmp_path: Path, folder: PipelineHome) -> None:
    path = tmp_path / "f.parquet"
    parquet.write_table(pa.table({"x": [1.0, float("nan")], "y": [float("nan"), 2.0]}), path)
    version = run(settings(path), folder)
    assert (version.n_rows, version.n_unlabelled) == (1, 1)
    assert [column.nullable for column in version.columns] == [True, False]


@pytest.mark.parametrize(
    ("more", "error", "sentence"),
    [
        ({"label": "yy"}, LabelError, "'yy' is no column of the sources; did you mean 'y'"),
        ({"time": "att"}, DataError, "time column 'att' is no column of the sources; did you mean 'at'"),
        ({"time": "age"}, SchemaError, "Got 'age' with values such as 30"),
        ({"where": "age > 200"}, DataError, "data.where 'age > 200' is true for none of 5 rows"),
        ({"where": "y IS NULL"}, LabelError, "the label 'y' is null in all of 1 rows"),
        (
            {"contract": {"min_rows": 100}},
            DataError,
            "4 rows are left of 5, fewer than data.contract.min_rows 100",
        ),
        (
            {"contract": {"max_bad_ratio": 0.1, "columns": {"age": {"max": 40}}}},
            DataError,
            "3 of 5 rows break the contract, more than data.contract.max_bad_ratio 0.1 allows",
        ),
    ],
)
def test_rows_that_cannot_be_used_are_one_sentence_and_nothing_is_written(
    tmp_path: Path, folder: PipelineHome, more: dict[str, Any], error: type[DataError], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        run(settings(csv(tmp_path), **more), folder)
    assert sentence in str(caught.value)
    assert not (folder.rows / "_delta_log").exists()


def test_a_home_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="set `home` elsewhere"):
        run(settings(csv(tmp_path)), Home(tmp_path / "file").pipeline("p"))


def test_progress_is_told(tmp_path: Path, folder: PipelineHome) -> None:
    steps: list[Step] = []
    ingest(
        settings(csv(tmp_path)),
        folder,
        VersionsInMemory(),
        clock=FakeClock(),
        progress=steps.append,
    )
    assert {step.stage for step in steps} == {"collect"}
    assert any("people.csv" in step.message for step in steps)


def test_a_dropped_column_must_be_one(tmp_path: Path, folder: PipelineHome) -> None:
    path = csv(tmp_path)
    versions = VersionsInMemory()
    run(settings(path, drop=["city"]), folder, versions)
    for known in (None, versions):
        with pytest.raises(ConfigError, match=r"data\.drop names 'citty', .* did you mean 'city'\?"):
            run(settings(path, drop=["citty"]), folder, known)


def test_a_dropped_column_of_an_unusable_type_is_named_by_the_version(
    tmp_path: Path, folder: PipelineHome
) -> None:
    path = tmp_path / "people.parquet"
    parquet.write_table(pa.table({"y": [0, 1], "age": [1, 2], "tags": [["a"], ["b"]]}), path)
    version = run(settings(path, drop=["tags"]), folder)
    assert version.unread == ("tags",)
    assert "tags" not in [column.name for column in version.columns]
