"""A run from files, block by block, learns from the same bits as one that holds all rows in memory."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from raypipe.config.load import parse_config
from raypipe.config.yaml_text import Plain
from raypipe.core.errors import RaypipeError
from raypipe.data.blocks import StoredRows
from raypipe.data.versions import DataVersion
from raypipe.pipeline import Loop, no_compute
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.training.config import TrainingSettings
from raypipe.training.encoding import judging_rows
from raypipe.training.prepared import Prepared
from raypipe.training.race import TrainingSet

START = datetime(2026, 1, 1, tzinfo=UTC)
N_ROWS = 40
PHASES = [Phase.reuse, Phase.generate]
"""Without shrinking: an example ingests rows, which takes a while."""
CELLS: dict[str, tuple[st.SearchStrategy[Any], pa.DataType]] = {
    "k": (st.sampled_from(["a", "b", "c", None]), pa.string()),
    "x": (
        st.none() | st.sampled_from([float("nan"), float("inf"), -0.0, 1e300]) | st.floats(-9, 9),
        pa.float64(),
    ),
    "n": (st.none() | st.integers(0, 3), pa.int64()),
    "word": (st.none() | st.sampled_from(["red", "blue", ""]) | st.text(max_size=4), pa.string()),
    "at": (
        st.integers(0, 20).map(lambda minute: START + timedelta(minutes=minute)),
        pa.timestamp("us", "UTC"),
    ),
}
OF_CATEGORY = st.sampled_from(
    [
        {"encode": "onehot", "min_count": 1, "impute": "mode"},
        {"encode": "ordinal"},
        {"encode": "target", "smoothing": 2},
        {"encode": "hash", "n_features": 4},
    ]
)
DEDUPLICATE = st.sampled_from([None, {"by": "all"}, {"by": ["k", "n"]}, {"by": ["k"], "keep": "first"}])


@st.composite
def tables(draw: st.DrawFn) -> list[pa.Table]:
    """Return the rows of some files, of which one may lack all values of a column."""
    columns = {
        name: pa.array(draw(st.lists(values, min_size=N_ROWS, max_size=N_ROWS)), type)
        for name, (values, type) in CELLS.items()
    }
    label = draw(st.sampled_from([[0, 1], [0.5, 1.5, 2.5], ["no", "yes", "may be"]]))
    table = pa.table({**columns, "y": [label[i % len(label)] for i in range(N_ROWS)]})
    if draw(st.booleans()):
        table = table.sort_by("at")
    cut = draw(st.integers(1, N_ROWS - 1))
    return [table.slice(0, cut), table.slice(cut)]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Plain]:
    columns: list[Plain] = [{"match": name, **draw(OF_CATEGORY)} for name in ("k", "word")]
    cross: Plain = {"columns": ["k", "word"], "encode": draw(st.sampled_from(["onehot", "target"]))}
    time = draw(st.sampled_from(["at", None]))
    data: Plain = {
        "sources": [{"name": "rows", "format": "parquet", "path": "rows"}],
        "label": "y",
        "split": {"validation": 0.25, "test": 0.25},
        **({"time": time} if time else {}),
    }
    processing: dict[str, Plain] = {"columns": columns, "crosses": [cross], "use_time": True}
    if (by := draw(DEDUPLICATE)) is not None:
        processing["deduplicate"] = by
    return {"name": "p", "home": "home", "data": data, "processing": processing}


def loop_of(document: Mapping[str, Any], place: Path, in_memory_cells: int) -> Loop:
    processing = {**document["processing"], "in_memory_cells": in_memory_cells}
    config = parse_config({**document, "processing": processing}, place)
    config.root.prepare()
    return Loop(config, Registry(config.root.registry_url, FakeClock()), FakeClock(), no_compute)


def told(prepared: Prepared) -> tuple[object, ...]:
    """Return all that a race, a judgement and a package take from it."""
    split = prepared.split
    tables = [part.take(np.arange(part.num_rows)) for part in split.parts]
    return (
        split.by,
        split.boundaries,
        [part.num_rows for part in split.parts],
        [[repr(row) for row in table.select(sorted(table.column_names)).to_pylist()] for table in tables],
        prepared.task,
        prepared.transform.to_json(),
        prepared.profile.to_json(),
        prepared.content("d", TrainingSettings(), {}),
    )


def prepared(loop: Loop, data: DataVersion) -> Prepared | tuple[type[Exception], str]:
    """Return what is learned from, or why nothing can be."""
    try:
        return loop.prepare(data)
    except RaypipeError as error:
        return type(error), str(error)


def bits(loop: Loop, found: Prepared, made: TrainingSet) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Return the features and targets of all three parts."""
    parts = (made.x_train, made.y_train, made.x_validation, made.y_validation)
    judged = judging_rows(found, made, loop.config.processing.compute)
    return [(one.dtype.str, one.shape, one.tobytes()) for one in (*parts, *judged)]


def check(files: list[pa.Table], document: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "rows").mkdir()
        for number, rows in enumerate(files):
            parquet.write_table(rows, place / "rows" / f"{number}.parquet")
        held, stored = (loop_of(document, place, cells) for cells in (10**9, 0))
        data = held.collect()
        first, second = prepared(held, data), prepared(stored, data)
        if not isinstance(first, Prepared) or not isinstance(second, Prepared):
            assert first == second
            return
        assert isinstance(second.split.train, StoredRows) and not isinstance(first.split.train, StoredRows)
        assert told(first) == told(second)
        in_memory, in_files = (
            loop.encode(one, place / "features") for loop, one in ((held, first), (stored, second))
        )
        elsewhere = pickle.loads(pickle.dumps(in_files))
        assert isinstance(elsewhere.x_train, np.memmap) and in_memory.files is None
        assert bits(held, first, in_memory) == bits(stored, second, in_files)
        assert bits(stored, second, in_files) == bits(stored, second, elsewhere)


@settings(max_examples=15, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), documents())
def test_files_and_memory_give_the_same_bits(files: list[pa.Table], document: dict[str, Plain]) -> None:
    check(files, document)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=500, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), documents())
def test_files_and_memory_give_the_same_bits_many_times(
    files: list[pa.Table], document: dict[str, Plain]
) -> None:
    check(files, document)
