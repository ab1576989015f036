"""What an input on a command line stands for: a line of the config's `sources`, written shorter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from raypipe.core.errors import ConfigError
from raypipe.data.locations import format_by_name
from raypipe.data.sources.config import SourceSettings

FORMATS = ("parquet", "csv", "jsonl", "delta", "sql")
_SQL = re.compile(r"(sqlite|postgresql|mysql|mariadb|mssql|oracle|duckdb|snowflake)(\+[a-z0-9_]+)?://")
_NAME = "input"
_SETTINGS: TypeAdapter[SourceSettings] = TypeAdapter(SourceSettings)


@dataclass(frozen=True)
class Place:
    """Where rows are: a path, glob or URL of files or of a Delta table, or a database's with what is read."""

    address: str
    format: str | None = None
    """One of FORMATS; None: it is seen by the address."""
    table: str | None = None
    query: str | None = None
    cursor: str | None = None
    """A column by whose order a database is read in pieces; without it all rows are one piece."""


def settings_of(place: Place) -> SourceSettings:
    """Return the settings of a source that reads a place; raises ConfigError."""
    found = place.format or _format(place.address)
    if found not in FORMATS:
        raise ConfigError(f"--format must be one of {', '.join(FORMATS)}. Got {found!r}.")
    asked = {"table": place.table, "query": place.query, "cursor": place.cursor}
    given = {name: value for name, value in asked.items() if value is not None}
    if given and found != "sql":
        raise ConfigError(f"--{next(iter(given))} is for a database. Got the format {found!r}.")
    where = {"url": place.address, **given} if found == "sql" else {"path": place.address}
    try:
        return _SETTINGS.validate_python({"name": _NAME, "format": found, **where})
    except ValidationError as error:
        why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"the input {place.address!r} cannot be read: {why}.") from error


def _format(address: str) -> str:
    if _SQL.match(address):
        return "sql"
    named = format_by_name(address, FORMATS)
    if named is not None:
        return named
    folder = Path(address)
    if (folder / "_delta_log").is_dir():
        return "delta"
    formats: Mapping[str, None] = (
        dict.fromkeys(filter(None, (format_by_name(one.name, FORMATS) for one in sorted(folder.iterdir()))))
        if folder.is_dir()
        else {}
    )
    if len(formats) != 1:
        what = f"files of {' and '.join(formats)}" if formats else "no file whose name tells"
        raise ConfigError(
            f"the format of {address!r} cannot be seen ({what}): say --format {'|'.join(FORMATS)}."
        )
    return next(iter(formats))
