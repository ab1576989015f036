from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from raypipe.core.errors import ConfigError, SourceError
from raypipe.data.locations import _split, check_unchanged, locate, sha256_of
from raypipe.data.sources.config import FileSettings


def source(path: str | Path, format: str = "csv") -> FileSettings:
    return TypeAdapter(FileSettings).validate_python({"name": "s", "format": format, "path": str(path)})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "x/c.csv", "x/y/d.csv", "x/e.parquet", "_tmp/f.csv", ".h.csv", "g.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("", ["a.csv", "b.csv", "x/c.csv", "x/y/d.csv"]),
        ("*.csv", ["a.csv", "b.csv"]),
        ("[!b]*.csv", ["a.csv"]),
        ("*/*.csv", ["x/c.csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "x/c.csv", "x/y/d.csv"]),
        ("x/**/d.csv", ["x/y/d.csv"]),
        ("g.*", ["g.txt"]),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_path_stands_for_files_in_sorted_order(
    tree: Path, scheme: str, pattern: str, names: list[str]
) -> None:
    files = locate(source(f"{scheme}{tree}/{pattern}".rstrip("/")))
    assert [file.path for file in files] == [f"{tree}/{name}" for name in names]


def test_relative_paths_start_where_the_process_is(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert [file.path for file in locate(source("*.csv"))] == ["./a.csv", "./b.csv"]


def test_a_question_mark_is_one_letter_of_a_path_and_starts_the_query_of_a_url(tree: Path) -> None:
    files = locate(source(tree / "?.csv"))
    assert [Path(file.path).name for file in files] == ["a.csv", "b.csv"]
    assert _split("s3://bucket/a/*.csv?region=eu") == ("s3://bucket/a?region=eu", "*.csv")


def test_a_missing_file_is_named_with_its_nearest_neighbour(tree: Path) -> None:
    (tree / "flights.csv").write_text("x")
    with pytest.raises(SourceError, match=r"flight\.csv of source s does not exist; did you mean 'flights"):
        locate(source(tree / "flight.csv"))


def test_a_missing_folder_is_named(tree: Path) -> None:
    with pytest.raises(SourceError, match="does not exist; nor does anything else in"):
        locate(source(tree / "none" / "deep" / "*.csv"))


def test_a_glob_or_folder_without_files_is_refused(tree: Path) -> None:
    with pytest.raises(SourceError, match=r"source s has no file: nothing in .* matches .*\*\.tsv"):
        locate(source(tree / "*.tsv"))
    with pytest.raises(SourceError, match=r"ends in \.parquet or \.pq"):
        locate(source(tree / "x" / "y", format="parquet"))


def test_a_file_of_zero_bytes_is_refused(tree: Path) -> None:
    (tree / "b.csv").write_bytes(b"")
    with pytest.raises(SourceError, match=r"b\.csv of source s is empty \(0 bytes\)"):
        locate(source(tree))


def test_an_unknown_scheme_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="URL that pyarrow opens"):
        locate(source("ftp2://host/a.csv"))


def test_the_digest_is_that_of_the_bytes(tree: Path) -> None:
    (file,) = locate(source(tree / "a.csv"))
    assert sha256_of(file) == hashlib.sha256(b"a.csv").hexdigest()


def test_a_file_that_changes_under_the_reader_is_refused(tree: Path) -> None:
    (file,) = locate(source(tree / "a.csv"))
    check_unchanged(file)
    (tree / "a.csv").write_text("longer than before")
    with pytest.raises(SourceError, match="changed while it was read"):
        check_unchanged(file)


def test_a_file_that_vanishes_is_refused(tree: Path) -> None:
    (file,) = locate(source(tree / "a.csv"))
    (tree / "a.csv").unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        sha256_of(file)
