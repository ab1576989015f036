"""Values that are not of the declared kind."""

from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.core.errors import SchemaError
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.misfits import fitted
from raypipe.data.sources.rows import PieceRows


@pytest.mark.parametrize(
    ("kind", "texts", "found"),
    [
        (
            "number",
            ["1", " 2.5 ", "1e3", "inf", "1,5", "", None],
            [1.0, 2.5, 1000.0, float("inf"), None, None, None],
        ),
        ("integer", ["1", "-2.0", "2.5", "9" * 30, None], [1, -2, None, None, None]),
        ("boolean", ["true", "False", "1", "0", "yes", None], [True, False, True, False, None, None]),
        ("category", ["a", None], ["a", None]),
    ],
)
def test_values_of_the_kind_are_read_and_others_told(
    kind: ColumnKind, texts: list[str | None], found: list[object]
) -> None:
    column, misfits = fitted("x", pa.chunked_array([texts]), kind)
    assert column.to_pylist() == found
    expected = [text for text, value in zip(texts, found, strict=True) if text is not None and value is None]
    told = [] if misfits is None else misfits.texts.filter(misfits.is_misfit).to_list()
    assert told == expected


def test_what_is_left_of_a_piece_keeps_its_places_and_misfits() -> None:
    column, misfits = fitted("x", pa.chunked_array([["1", "old", "2"]]), "integer")
    assert misfits is not None
    left = PieceRows(pa.table({"x": column}), (), (misfits,)).filtered(pa.array([False, True, True]))
    left = left.filtered(pa.array([True, False]))
    assert left.places is not None and left.places.to_pylist() == [1]
    assert [one.texts.to_list() for one in left.misfits] == [["old"]]
    with pytest.raises(SchemaError, match="column 'x' of a must hold values of kind integer"):
        raise misfits.error("a")
