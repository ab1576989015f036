"""Where rows become features: in this process, or over Ray Data, with the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.processing.transform import FittedTransform, Float32Matrix

RAY_DATA_ROWS = 5_000_000
"""Above so many rows, `compute: auto` transforms over Ray Data instead of in this process."""


def over_ray_data(compute: str, n_rows: int) -> bool:
    """Whether `processing.compute` sends so many rows over Ray Data."""
    return compute == "ray" or (compute == "auto" and n_rows > RAY_DATA_ROWS)


def in_memory(n_rows: int, n_columns: int, in_memory_cells: int) -> bool:
    """Whether a run holds all rows in memory, or reads them from files block by block."""
    return n_rows * n_columns <= in_memory_cells


def features_of(rows: pa.Table, transform: FittedTransform, compute: str) -> Float32Matrix:
    """Return the features of rows, shape (n_rows, n_features), made where `processing.compute` says."""
    if over_ray_data(compute, rows.num_rows):
        from raypipe.processing.on_ray import transform_over_ray

        return transform_over_ray(rows, transform)
    return transform.transform_table(rows)
