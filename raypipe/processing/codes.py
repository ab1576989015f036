"""Codes of the values of Arrow columns: which line of a step's table each of them is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.processing.columns import floats_of, kind_in, texts_of
from raypipe.processing.steps.lookup import Lookup, missing_code, unseen_code

Codes = npt.NDArray[np.int32]


class Coder:
    """Finds the codes of a column's values; what it makes of the vocabulary is kept for the next table."""

    def __init__(self, step: Lookup) -> None:
        self._column = step.column
        self._vocabulary = step.vocabulary
        self._unseen, self._missing = unseen_code(step), missing_code(step)
        self._known: dict[str, tuple[pa.Array, npt.NDArray[np.int32]]] = {}

    def __call__(self, table: pa.Table) -> Codes:
        """Return the code of each row's value."""
        kind = kind_in(table.schema, self._column)
        if kind is None:
            return np.full(table.num_rows, self._missing, np.int32)
        if self._column.kind == "integer" and kind == "integer":
            return self._of(table.column(self._column.name), "integer")
        if self._column.kind == "integer" and kind == "number":
            # What is no value (NaN) and what no integer column holds (1.5) is told apart here.
            values = floats_of(table, self._column) + 0.0
            return self._of(pa.chunked_array([pa.array(values, from_pandas=True)]), "number")
        if self._column.kind == "category" and kind == "category":
            return self._of(table.column(self._column.name), "text")
        return self.of_texts(texts_of(table, self._column))

    def of_texts(self, texts: pl.Series) -> Codes:
        """Return the code of each text."""
        return self._of(pa.chunked_array([texts.to_arrow()]), "text")

    def _of(self, values: pa.ChunkedArray, spelled: str) -> Codes:
        if pa.types.is_dictionary(values.type):
            return np.concatenate(
                [np.zeros(0, np.int32), *(self._of_dictionary(chunk, spelled) for chunk in values.chunks)]
            )
        words, codes = self._words(values.type, spelled)
        found = pc.index_in(values, value_set=words)
        codes = np.append(codes, np.int32(self._unseen))
        made: Codes = codes[found.fill_null(len(words)).to_numpy()]
        if values.null_count:
            made[values.is_null().to_numpy()] = self._missing
        return made

    def _of_dictionary(self, values: pa.DictionaryArray, spelled: str) -> Codes:
        codes = np.append(self._of(pa.chunked_array([values.dictionary]), spelled), np.int32(self._missing))
        places = values.indices.cast(pa.int64()).fill_null(len(values.dictionary))
        found: Codes = codes[places.to_numpy()]
        return found

    def _words(self, type: pa.DataType, spelled: str) -> tuple[pa.Array, npt.NDArray[np.int32]]:
        """Return the vocabulary in a type, and the code of each of its words that the type can hold."""
        key = f"{spelled} {type}"
        if key not in self._known:
            self._known[key] = _in_type(self._vocabulary, type, spelled)
        return self._known[key]


def _in_type(
    vocabulary: Sequence[str], type: pa.DataType, spelled: str
) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    if spelled == "text":
        return pa.array(vocabulary, type), np.arange(len(vocabulary), dtype=np.int32)
    numbers = [(int(text), code) for code, text in enumerate(vocabulary)]
    if spelled == "number":
        held = [(float(number), code) for number, code in numbers if int(float(number)) == number]
    else:
        info = np.iinfo(type.to_pandas_dtype())
        held = [(number, code) for number, code in numbers if info.min <= number <= info.max]
    return pa.array([word for word, _ in held], type), np.array([code for _, code in held], np.int32)
