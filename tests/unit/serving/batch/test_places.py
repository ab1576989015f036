from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import ConfigError
from raypipe.serving.batch.places import Place, settings_of


@pytest.mark.parametrize(
    ("address", "format"),
    [
        ("rows.parquet", "parquet"),
        ("rows/*.CSV", "csv"),
        ("s3://bucket/rows.jsonl.gz?region=x", "jsonl"),
        ("postgresql+psycopg://u:p@host/base", "sql"),
    ],
)
def test_the_format_is_seen_by_the_address(address: str, format: str) -> None:
    table = "rows" if format == "sql" else None
    assert settings_of(Place(address, table=table)).format == format


def test_the_format_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(no file whose name tells\): say --format parquet\|csv"):
        settings_of(Place(str(tmp_path)))
    (tmp_path / "a.csv").touch()
    assert settings_of(Place(str(tmp_path))).format == "csv"
    (tmp_path / "b.parquet").touch()
    with pytest.raises(ConfigError, match=r"\(files of csv and parquet\): say --format"):
        settings_of(Place(str(tmp_path)))
    assert settings_of(Place(str(tmp_path), "parquet")).format == "parquet"
    (tmp_path / "_delta_log").mkdir()
    assert settings_of(Place(str(tmp_path))).format == "delta"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Place("rows.parquet", "xml"), "--format must be one of .* Got 'xml'"),
        (Place("rows.parquet", table="t"), "--table is for a database. Got the format 'parquet'"),
        (Place("sqlite:///x.db"), "must have either `table` or `query`"),
    ],
)
def test_what_does_not_go_together_is_refused(place: Place, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_of(place)
