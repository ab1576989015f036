"""From the sources to the features: nothing of a row depends on what came after it, or on rows held out.

Rows are joined as-of and by key, split by time, and fitted. Then everything after the last training row is
changed: values and labels of validation and test rows, how many there are, and the rows of the as-of lookup.
What was joined to the training rows, the fitted transform, and the training features stay, to the bit.

One thing is told by all rows of a version on purpose: whether a request may leave a column out. No feature
depends on it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from raypipe.config.load import parse_config
from raypipe.config.yaml_text import Plain
from raypipe.core.ids import Json
from raypipe.data.fragments import read_rows
from raypipe.pipeline import Loop
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.training.prepared import Prepared
from raypipe.training.trials import Trials

Row: TypeAlias = tuple[int, str | None, float | None, str | None, int]
"""When, in minutes; a key; a number; a text; the label."""
Reading: TypeAlias = tuple[str | None, int | None, float]
"""Of the lookup: the key, when, in minutes, and what was read."""
Case: TypeAlias = tuple[list[Row], list[Row], list[Reading], list[Reading]]

START = datetime(2026, 1, 1, tzinfo=UTC)
N_ROWS, N_TRAIN = 20, 12
PHASES = [Phase.reuse, Phase.generate]
"""Without shrinking: an example ingests rows twice, which takes a while."""
KEYS = st.sampled_from(["a", "b", "c", None])
NUMBERS = st.none() | st.sampled_from([math.nan, math.inf, -0.0, 1e300]) | st.floats(-9, 9)
TEXTS = st.none() | st.sampled_from(["red", "blue", "red hat", ""]) | st.text(max_size=4)
CELLS = st.tuples(KEYS, NUMBERS, TEXTS, st.integers(0, 1))
MINUTES = st.integers(0, 60)
READINGS = st.lists(st.tuples(KEYS, st.none() | MINUTES, st.floats(-9, 9)), max_size=15)
ROWS = st.lists(st.tuples(MINUTES, KEYS, NUMBERS, TEXTS, st.integers(0, 1)), min_size=N_ROWS, max_size=N_ROWS)
OF_NUMBERS = st.sampled_from(
    [
        {},
        {"impute": "mean", "clip": [0.1, 0.9], "transform": "log", "scale": "robust"},
        {"impute": "mode", "transform": "yeo_johnson", "scale": "minmax"},
        {"bins": {"n": 3, "by": "quantile"}},
        {"bins": {"n": 3, "by": "width", "encode": "ordinal"}},
    ]
)
OF_CATEGORIES = st.sampled_from(
    [
        {"encode": "onehot", "min_count": 1, "frequency": True, "impute": "mode"},
        {"encode": "ordinal"},
        {"encode": "ordinal", "order": "lexical"},
        {"encode": "hash", "n_features": 4},
        {"encode": "target", "smoothing": 2},
    ]
)
OF_TEXTS = OF_CATEGORIES | st.just({"encode": "text", "n_features": 4, "ngrams": [1, 2]})
AS_OF = st.sampled_from([{}, {"available_after_s": 120}, {"tolerance_s": 600}])


@st.composite
def processings(draw: st.DrawFn) -> Plain:
    numbers: list[Plain] = [{"match": name, **draw(OF_NUMBERS)} for name in ("x", "readings_n")]
    categories: list[Plain] = [{"match": "k", **draw(OF_CATEGORIES)}, {"match": "word", **draw(OF_TEXTS)}]
    cross: Plain = {"columns": ["k", "word"], "encode": draw(st.sampled_from(["onehot", "target", "hash"]))}
    return {"use_time": True, "columns": [*numbers, *categories], "crosses": [cross]}


def no_ray() -> AbstractContextManager[Trials]:
    raise AssertionError("this needs no Ray")


def moment(minute: int | None) -> datetime | None:
    return None if minute is None else START + timedelta(minutes=minute)


def write(place: Path, rows: list[Row], readings: list[Reading]) -> None:
    minutes, keys, numbers, words, labels = zip(*rows, strict=True)
    time = pa.timestamp("us", "UTC")
    table = {
        "at": pa.array(map(moment, minutes), time),
        "k": pa.array(keys, pa.string()),
        "x": pa.array(numbers, pa.float64()),
        "word": pa.array(words, pa.string()),
        "y": pa.array(labels, pa.int64()),
    }
    parquet.write_table(pa.table(table), place / "rows.parquet")
    k, t, n = zip(*readings, strict=True) if readings else ((), (), ())
    lookup = {
        "k": pa.array(k, pa.string()),
        "t": pa.array(map(moment, t), time),
        "n": pa.array(n, pa.float64()),
    }
    parquet.write_table(pa.table(lookup), place / "readings.parquet")
    by_key = {"k": pa.array(["a", "b"], pa.string()), "size": pa.array([1, 2], pa.int64())}
    parquet.write_table(pa.table(by_key), place / "shops.parquet")


def config(as_of: dict[str, Plain], processing: Plain, n_rows: int) -> dict[str, Plain]:
    """Return a config by which the first rows train, and half of the others choose, half judge."""
    share = (n_rows - N_TRAIN) / 2 / n_rows
    joins: dict[str, Plain] = {
        "readings": {"by": ["k"], "as_of": {"time": "t", **as_of}, "duplicates": "last"},
        "shops": {"by": ["k"]},
    }
    sources: list[Plain] = [{"name": "rows", "format": "parquet", "path": "rows.parquet"}]
    sources += [
        {"name": name, "format": "parquet", "path": f"{name}.parquet", "join": join}
        for name, join in joins.items()
    ]
    split: Plain = {"validation": share, "test": share}
    data: Plain = {"sources": sources, "label": "y", "time": "at", "split": split}
    return {"name": "ahead", "home": "home", "data": data, "processing": processing}


def prepared(
    rows: list[Row], readings: list[Reading], document: dict[str, Plain]
) -> tuple[Prepared, pa.Table]:
    """Return what is learned from, and all rows as they were joined, in order of time."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows, readings)
        made = parse_config(document, Path(folder))
        made.root.prepare()
        loop = Loop(made, Registry(made.root.registry_url, FakeClock()), FakeClock(), no_ray)
        data = loop.collect()
        joined = read_rows(made.folder, data).sort_by("at")
        assert joined.num_rows == len(rows)
        return loop.prepare(data), joined


def frame(rows: pa.Table) -> pl.DataFrame:
    """Return rows so that NaN equals NaN."""
    return pl.DataFrame(pl.from_arrow(rows))


def numbers(value: Json) -> Json:
    """Return what was fitted, without whether columns may be left out."""
    if isinstance(value, Mapping):
        return {key: numbers(inner) for key, inner in value.items() if key != "nullable"}
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return [numbers(inner) for inner in value] if is_list else value


def training_features(found: Prepared) -> bytes:
    features = found.transform.transform_table(found.split.train)
    return found.out_of_fold.replaced(features, found.split.train).tobytes()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return rows and readings, and both with everything after the last training row changed."""
    rows: list[Row] = sorted(draw(ROWS), key=lambda row: row[0])
    # Both classes are among the training rows, and the last rows are later than all of these.
    rows[0], rows[1] = (0, *rows[0][1:4], 0), (0, *rows[1][1:4], 1)
    now = rows[N_TRAIN - 1][0]
    rows[N_TRAIN:] = [(now + n, *row[1:]) for n, row in enumerate(rows[N_TRAIN:], 1)]
    n_kept = N_ROWS - draw(st.sampled_from([0, 4, 6]))
    changed = [*rows[:N_TRAIN], *((row[0], *draw(CELLS)) for row in rows[N_TRAIN:n_kept])]
    readings = [("a", 0, 1.0), ("b", 0, 2.0), *draw(READINGS)]
    known = [one for one in readings if one[1] is None or one[1] <= now]
    later = [one for one in draw(READINGS) if one[1] is not None and one[1] > now]
    return rows, changed, readings, [*known, *later]


def check(case: Case, as_of: dict[str, Plain], processing: Plain) -> None:
    rows, changed, readings, changed_readings = case
    before, joined = prepared(rows, readings, config(as_of, processing, len(rows)))
    after, joined_again = prepared(changed, changed_readings, config(as_of, processing, len(changed)))
    assert before.split.train.num_rows == N_TRAIN
    assert frame(before.split.train).equals(frame(after.split.train))
    assert frame(joined.slice(0, N_TRAIN)).equals(frame(joined_again.slice(0, N_TRAIN)))
    assert numbers(before.transform.to_json()) == numbers(after.transform.to_json())
    assert training_features(before) == training_features(after)


@settings(max_examples=10, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), AS_OF, processings())
def test_what_comes_later_changes_nothing_of_what_was_learned_from(
    case: Case, as_of: dict[str, Plain], processing: Plain
) -> None:
    check(case, as_of, processing)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=500, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), AS_OF, processings())
def test_what_comes_later_changes_nothing_many_times(
    case: Case, as_of: dict[str, Plain], processing: Plain
) -> None:
    check(case, as_of, processing)
