"""Parquet files of features: one float32 column each, in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from raypipe.core.errors import SchemaError
from raypipe.processing.transform import Float32Matrix

_SAMPLE_ROWS = 4096
_FEW, _TWO = 1024, 2


class FeaturesFile:
    """A file that gets its columns with its first rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = ExitStack()
        self._writer: parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def write(self, names: Sequence[str], features: Float32Matrix, kept: pa.Table) -> None:
        """Append rows: features that lie column by column in memory, and other columns as they are."""
        if both := sorted(set(names) & set(kept.column_names)):
            raise SchemaError(f"A feature and a kept column must have different names. Got {both} for both.")
        made = {name: pa.array(features[:, i]) for i, name in enumerate(names)}
        rows = pa.table({**made, **{name: kept.column(name) for name in kept.column_names}})
        if self._writer is None:
            few = [name for i, name in enumerate(names) if _has_few_values(features[:_SAMPLE_ROWS, i])]
            self._writer = self._open.enter_context(
                parquet.ParquetWriter(
                    self._path,
                    rows.schema,
                    use_dictionary=[*few, *kept.column_names],
                    compression="lz4",
                    write_statistics=False,
                    store_schema=False,
                )
            )
        self._writer.write_table(rows)


def _has_few_values(sample: Float32Matrix) -> bool:
    """Whether a feature repeats its values, as codes do: then each is stored once.

    Of 0/1 compression leaves as little, and looking up each of them takes twice as long.
    """
    return _TWO < len(np.unique(sample)) < min(_FEW, len(sample) / 2)
