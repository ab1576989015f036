"""Hand-written polars: one lazy query for what is fitted, a streaming one that writes the features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.processing.job import FEW, FILE, MANY, NUMBERS, PARTS, TIME, feature_names


def run(source: Path, target: Path) -> None:
    """Fit, then transform and write, both by streaming."""
    rows = pl.scan_parquet(source)
    fitted = rows.select(_fits()).collect(engine="streaming").row(0, named=True)
    few = pl.col(FEW).cast(pl.Enum(fitted[FEW])).to_physical().alias("_few")
    features = [
        feature.cast(pl.Float32).alias(name)
        for feature, name in zip(_features(fitted), feature_names(fitted[FEW]), strict=True)
    ]
    target.mkdir()
    made = rows.with_columns(few).select(features)
    made.sink_parquet(target / FILE, compression="lz4", statistics=False)


def _fits() -> Iterator[pl.Expr]:
    for name in NUMBERS:
        yield pl.col(name).mean().alias(f"{name}_mean")
        yield pl.col(name).std(ddof=0).alias(f"{name}_std")
    for name in (FEW, MANY):
        yield pl.col(name).unique().sort().implode()


def _features(fitted: Mapping[str, Any]) -> Iterator[pl.Expr]:
    for name in NUMBERS:
        scaled = (pl.col(name) - fitted[f"{name}_mean"]) / fitted[f"{name}_std"]
        yield scaled.fill_null(0.0)
        yield pl.col(name).is_null()
    for code in range(len(fitted[FEW])):
        yield pl.col("_few") == code
    many = fitted[MANY]
    yield (pl.col(MANY).cast(pl.Enum(many)).to_physical() + 1) / len(many)
    moment = pl.col(TIME).dt
    parts = {"month": moment.month(), "weekday": moment.weekday() - 1, "hour": moment.hour()}
    for part, low, high in PARTS:
        yield (parts[part].cast(pl.Float64) - low) * (2 / (high - low)) - 1
