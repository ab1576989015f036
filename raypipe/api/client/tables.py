"""Rows of any kind of table, and answers in the same kind; no package of tables is imported for others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.api.client.answers import Prediction
from raypipe.core.errors import DataError

SLICE_ROWS = 10_000
_TABLES = ("pandas.DataFrame", "polars.DataFrame", "pyarrow.Table")
_KINDS = f"a list of mappings, or a table: {', '.join(_TABLES)}"


@dataclass(frozen=True)
class Rows:
    """Rows, a slice at a time, and what makes of their answers what the user shall get."""

    n_rows: int
    slices: Callable[[], Iterator[Sequence[object]]]
    answered: Callable[[Sequence[Prediction]], object]


def rows_of(given: object, what: str = "rows") -> Rows:
    """Return rows as given; raises DataError for what holds none."""
    for name, read in zip(_TABLES, (_of_pandas, _of_polars, _of_arrow), strict=True):
        package, kind = name.split(".")
        known = sys.modules.get(package)
        if known is not None and isinstance(given, getattr(known, kind)):
            return read(given)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise DataError(f"{what} must be {_KINDS}. Got {type(given).__name__}.")
    rows = given if isinstance(given, Sequence) else list(given)
    return Rows(len(rows), lambda: iter([rows]), list)


def columns_of(answers: Sequence[Prediction]) -> dict[str, list[Any]]:
    """Return answers as columns: id, prediction, a probability for each class, version, error."""
    classes = list(dict.fromkeys(name for one in answers for name in one.probabilities or ()))
    return {
        "id": [one.id for one in answers],
        "prediction": [one.value for one in answers],
        **{
            f"probability_{name}": [(one.probabilities or {}).get(name) for one in answers]
            for name in classes
        },
        "version": [one.version for one in answers],
        "error": [one.error for one in answers],
    }


def _of_pandas(frame: Any) -> Rows:
    _check_names(list(frame.columns))

    def slices() -> Iterator[Sequence[object]]:
        for start in range(0, len(frame), SLICE_ROWS):
            part = frame.iloc[start : start + SLICE_ROWS]
            yield _dicts({name: part[name].astype(object).tolist() for name in part.columns})

    def answered(answers: Sequence[Prediction]) -> object:
        import pandas as pd

        return pd.DataFrame(_arrow(answers).to_pandas().set_axis(frame.index, axis=0))

    return Rows(len(frame), slices, answered)


def _of_polars(frame: Any) -> Rows:
    def slices() -> Iterator[Sequence[object]]:
        for start in range(0, frame.height, SLICE_ROWS):
            yield frame.slice(start, SLICE_ROWS).to_dicts()

    def answered(answers: Sequence[Prediction]) -> object:
        import polars as pl

        return pl.from_arrow(_arrow(answers))

    return Rows(frame.height, slices, answered)


def _of_arrow(table: Any) -> Rows:
    _check_names(table.column_names)

    def slices() -> Iterator[Sequence[object]]:
        for start in range(0, table.num_rows, SLICE_ROWS):
            yield table.slice(start, SLICE_ROWS).to_pylist()

    return Rows(table.num_rows, slices, _arrow)


def _arrow(answers: Sequence[Prediction]) -> Any:
    import pyarrow as pa

    columns = columns_of(answers)
    texts = ("id", "version", "error")
    return pa.table(
        {name: pa.array(cells, pa.string() if name in texts else None) for name, cells in columns.items()}
    )


def _dicts(columns: Mapping[str, Sequence[object]]) -> list[object]:
    names = list(columns)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _check_names(names: Sequence[object]) -> None:
    if not names:
        raise DataError("a table of rows must have one column or more. Got none.")
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"a column's name must be text. Got {name!r}.")
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise DataError(f"columns must have names that differ. Got {twice!r} more than once.")
