"""Values that cannot be of the kind that the contract declares of their column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from raypipe.core.errors import SchemaError
from raypipe.data.canonical import TYPES
from raypipe.data.schema import ColumnKind

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Misfits:
    """The rows of a piece whose value in a column is not of its kind, and what they hold instead as text."""

    column: str
    kind: ColumnKind
    is_misfit: pl.Series
    """A boolean for each row of the piece."""
    texts: pl.Series
    """A text for each row of the piece."""

    def filtered(self, keep: pa.Array) -> Misfits:
        """Return what is so of the rows for which `keep`, a boolean for each, is true."""
        import polars as pl

        mask = pl.Series(pl.from_arrow(keep))
        return replace(self, is_misfit=self.is_misfit.filter(mask), texts=self.texts.filter(mask))

    def error(self, where: str) -> SchemaError:
        """Return the error for where such values cannot be set aside."""
        first = self.texts.filter(self.is_misfit)[0]
        return SchemaError(
            f"column {self.column!r} of {where} must hold values of kind {self.kind}. Got {first!r}: correct "
            f"it, or `data.contract.columns.{self.column}.kind`."
        )


def fitted(name: str, values: pa.ChunkedArray, kind: ColumnKind) -> tuple[pa.ChunkedArray, Misfits | None]:
    """Return values as a column of a kind, null where one is not of it, and those that are not.

    Raises pa.ArrowException for a column that does not even have texts.
    """
    import polars as pl

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    texts = pl.Series(name, pl.from_arrow(values.cast(pa.large_string())))
    found = _FIT[kind](texts.str.strip_chars())
    is_misfit = found.is_null() & texts.is_not_null()
    column = pa.chunked_array([found.to_arrow()]).cast(TYPES[kind])
    return column, Misfits(name, kind, is_misfit, texts) if is_misfit.any() else None


def _numbers(texts: pl.Series) -> pl.Series:
    import polars as pl

    return texts.cast(pl.Float64, strict=False)


def _integers(texts: pl.Series) -> pl.Series:
    import polars as pl

    return texts.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)


def _booleans(texts: pl.Series) -> pl.Series:
    import polars as pl

    known = {"true": True, "false": False, "1": True, "0": False}
    return texts.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.Boolean)


def _times(texts: pl.Series) -> pl.Series:
    from raypipe.data.event_time import parse_times

    return parse_times(texts)


def _texts(texts: pl.Series) -> pl.Series:
    return texts


_FIT: Mapping[ColumnKind, Callable[[pl.Series], pl.Series]] = {
    "number": _numbers,
    "integer": _integers,
    "boolean": _booleans,
    "timestamp": _times,
    "category": _texts,
}
