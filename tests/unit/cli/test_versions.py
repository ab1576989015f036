"""`raypipe data diff` and `gc`, and reading any version from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raypipe
from raypipe.core.errors import DataError, UnknownVersion
from raypipe.registry.manifest import ManifestDraft
from raypipe.training.kept import open_run

Command = Callable[..., Any]


@pytest.fixture
def grown(config: Path) -> Path:
    """Return the config of a pipeline with two data versions, of three and of four rows."""
    files = config.parent / "rows"
    files.mkdir()
    (files / "a.csv").write_text("id,age,group\n1,20,x\n2,30,y\n3,40,x\n")
    pipeline = raypipe.load(config)
    pipeline.ingest()
    (files / "a.csv").write_text("id,age,group\n1,20,x\n2,31,y\n")
    (files / "b.csv").write_text("id,age,group\n4,,x\n5,50,y\n")
    pipeline.ingest()
    return config


def ids(config: Path) -> tuple[str, str]:
    second, first = raypipe.load(config).data.versions()
    assert second.parent == first.id
    return first.id, second.id


def test_diff_tells_rows_columns_and_shifts(grown: Path, command: Command) -> None:
    first, second = ids(grown)
    lines = command("data", "diff", first, second, str(grown)).text.splitlines()
    assert lines[0] == f"from {first} to {second}: 3 rows added, 2 removed, 1 equal"
    assert ["age", "integer", "integer,", "may", "be", "missing"] in [line.split() for line in lines]
    by_key = command("data", "diff", first, second, str(grown), "--key", "id").text.splitlines()
    assert by_key[0] == f"from {first} to {second}: 2 rows added, 1 removed, 1 changed, 1 equal"
    (age,) = [line.split() for line in by_key if line.startswith("age") and "integer" not in line]
    assert age[2:] == ["0", "0.25", "30", "33.6667", "30", "31"]


def test_diff_takes_the_key_of_the_config(grown: Path, command: Command) -> None:
    first, second = ids(grown)
    grown.write_text(grown.read_text().replace("label: group", "label: group\n  key: id"))
    rows = command("data", "diff", first, second, str(grown), "--json").json["rows"]
    assert (rows["key"], rows["n_changed"], rows["n_equal"]) == (["id"], 1, 1)


def test_any_version_is_read_from_python(grown: Path) -> None:
    first, second = ids(grown)
    data = raypipe.load(grown).data
    assert data.rows(first).to_pydict()["age"] == [20, 30, 40]
    assert data.rows(columns=["id"]).to_pydict() == {"id": [1, 2, 4, 5]}
    assert [batch.to_pydict()["id"] for batch in data.batches(second, ["id"])] == [[1, 2], [4, 5]]
    with pytest.raises(UnknownVersion, match=rf"one of those there are \({second}, {first}\)"):
        data.rows("d-9")


def test_a_version_whose_files_are_gone_says_so(grown: Path) -> None:
    first, _ = ids(grown)
    pipeline = raypipe.load(grown)
    for name in pipeline.data.version(first).fragments[0].files:
        (pipeline.config.folder.rows / name).unlink()
    with pytest.raises(DataError, match="cannot be read, they were removed or damaged"):
        pipeline.data.rows(first)


def test_a_pipeline_without_versions_says_what_makes_one(config: Path) -> None:
    with pytest.raises(UnknownVersion, match="`raypipe ingest` makes one"):
        raypipe.load(config).data.rows()


def test_explain_tells_of_a_named_version(grown: Path, command: Command) -> None:
    first, _ = ids(grown)
    found = command("run", str(grown), "--data", first, "--explain", "--json").json
    assert found["data_version"] == first
    collect = found["stages"][0]
    assert (collect["action"], collect["n_rows"]) == ("skip", 3)


def test_gc_keeps_everything_unless_told(grown: Path, command: Command) -> None:
    first, second = ids(grown)
    lines = command("data", "gc", str(grown)).text.splitlines()
    assert lines == [
        f"{second} stays: it is the newest",
        f"{first} stays: data.retention keeps every version",
        "deleted: 0 files, 0 B; 0 fragments that no version holds",
    ]


def test_gc_removes_what_it_said_it_would(grown: Path, command: Command) -> None:
    first, _ = ids(grown)
    grown.write_text(grown.read_text().replace("label: group", "label: group\n  retention: {keep_last: 1}"))
    told = command("data", "gc", str(grown), "--dry-run", "--json").json
    assert (told["removed"], told["n_files"], told["is_dry"]) == ([first], 2, True)
    assert f"{first} would be removed" in command("data", "gc", str(grown), "--dry-run").text
    assert raypipe.load(grown).data.rows(first).num_rows == 3
    done = command("data", "gc", str(grown), "--json").json
    assert (done["removed"], done["n_bytes"]) == ([first], told["n_bytes"])
    with pytest.raises(DataError, match=f"^{first} was removed on .* by `raypipe data gc`, and its rows are"):
        command("run", str(grown), "--data", first, "--explain")
    assert "removed" in command("data", "log", str(grown)).text.splitlines()[-1]
    assert "its rows are gone" in command("data", "show", first, str(grown)).text
    assert "data_removed" in command("history", str(grown)).text


def test_gc_keeps_what_a_model_or_an_unfinished_run_names(grown: Path, command: Command) -> None:
    first, _ = ids(grown)
    grown.write_text(grown.read_text().replace("label: group", "label: group\n  retention: {keep_last: 1}"))
    pipeline = raypipe.load(grown)
    with open_run(pipeline.config.folder.runs / "r-1", content="c-1", data=first):
        lines = command("data", "gc", str(grown)).text.splitlines()
    assert f"{first} stays: the run r-1 began on it and is not over" in lines
    staged = pipeline.config.folder.staging / "r-1"
    staged.mkdir(parents=True)
    draft = ManifestDraft("credit", first, "r-1", {}, "linear", "json", {}, {}, {})
    pipeline.registry.register("credit", staged, pipeline.config.folder.models, draft)
    assert f"{first} stays: v1 was trained on it" in command("data", "gc", str(grown)).text
    assert pipeline.data.rows(first).num_rows == 3
