"""One fitted object gives the same bits for a table, for its blocks, and row by row: all steps, all types."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import TrainingFit
from raypipe.processing.target import Target
from raypipe.processing.training_part import fit_training
from raypipe.processing.transform import FittedTransform

N_SLOW = int(os.environ.get("RAYPIPE_TEST_EXAMPLES", "20000"))
SOURCE = {"name": "s", "format": "csv", "path": "-"}
DATA = DataSettings.model_validate({"sources": [SOURCE], "label": "label", "time": "ts"})
SCHEMA = pa.schema(
    {
        "number": pa.float64(),
        "single": pa.float32(),
        "integer": pa.int64(),
        "large": pa.uint64(),
        "flag": pa.bool_(),
        "text": pa.string(),
        "ts": pa.timestamp("us", "UTC"),
        "label": pa.int64(),
    }
)
SPECIAL = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0, 1.7e308, -1.7e308, 5e-324, 1e-30])
WORDS = st.sampled_from(["a", "b", "", "Ünïcode ﬁne", "\x00", "日本 語", "true", "1", "a b a", "A  b", "ς Σ"])
FAR = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | SPECIAL | st.floats() | st.floats(-10, 10),
            "single": st.none() | st.floats(width=32),
            "integer": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
            "large": st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 2),
            "flag": st.none() | st.booleans(),
            "text": st.none() | WORDS | st.text(max_size=6),
            "ts": st.none() | MOMENTS.filter(lambda moment: FAR[0] < moment < FAR[1]),
            "label": st.integers(0, 2),
        }
    ),
    min_size=1,
    max_size=12,
)
ANCHORS = [
    {"number": 1.5, "single": 2.0, "integer": 1, "large": 1, "flag": True, "text": "a", "label": 0},
    {"number": 2.5, "single": 3.0, "integer": 2, "large": 2, "flag": False, "text": "b", "label": 1},
]
"""Rows that leave something to fit on, whatever the others are."""

FILLS = st.sampled_from([{}, {"impute": "mode"}, {"impute": "constant", "value": 1}, {"indicator": False}])
SCALES = st.fixed_dictionaries(
    {
        "impute": st.sampled_from(["median", "mean", "mode"]),
        "transform": st.sampled_from(["none", "log", "power", "yeo_johnson"]),
        "scale": st.sampled_from(["standard", "robust", "minmax", "none"]),
        "clip": st.none() | st.sampled_from([[0, 0.9], [0.25, 0.5], [0.01, 0.99]]),
    }
)
BINS = st.fixed_dictionaries(
    {
        "n": st.integers(2, 5),
        "by": st.sampled_from(["quantile", "width"]),
        "encode": st.sampled_from(["onehot", "ordinal"]),
    }
)
NUMBERS = FILLS | SCALES | st.fixed_dictionaries({"bins": BINS})
CATEGORIES = st.one_of(
    st.builds(lambda fill, n: {"encode": "onehot", "max_categories": n, **fill}, FILLS, st.integers(2, 4)),
    st.builds(
        lambda fill, by: {"encode": "ordinal", "order": by, **fill},
        FILLS,
        st.sampled_from(["lexical", "frequency", ["2", "1"]]),
    ),
    st.builds(lambda fill, n: {"encode": "hash", "n_features": n, **fill}, FILLS, st.integers(2, 9)),
    st.just({"encode": "target"}),
)
TEXTS = st.builds(
    lambda n, high: {"encode": "text", "n_features": n, "ngrams": [1, high]},
    st.integers(2, 9),
    st.integers(1, 3),
)
DATES = st.fixed_dictionaries({"parts": st.just(["year", "day", "minute"]), "cycles": st.booleans()})
CROSSES = st.lists(
    st.builds(
        lambda names, said: {"columns": names, **said},
        st.lists(st.sampled_from(["integer", "large", "flag", "text"]), min_size=2, max_size=3, unique=True),
        st.sampled_from(
            [{}, {"encode": "hash", "n_features": 5}, {"encode": "target"}, {"encode": "ordinal"}]
        ),
    ),
    max_size=2,
)
PROCESSING = st.builds(
    lambda rules, crosses, frequency: ProcessingSettings.model_validate(
        {
            "use_time": True,
            "categorical": {"min_count": 1, "frequency": frequency},
            "columns": [{"match": name, **rule} for name, rule in rules.items()],
            "crosses": crosses,
        }
    ),
    st.fixed_dictionaries(
        {
            "number": NUMBERS,
            "single": NUMBERS,
            "integer": NUMBERS | CATEGORIES,
            "large": NUMBERS | CATEGORIES,
            "flag": CATEGORIES,
            "text": CATEGORIES | TEXTS,
            "ts": DATES,
        }
    ),
    CROSSES,
    st.booleans(),
)


def table(rows: Sequence[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SCHEMA)


def fitted(rows: pa.Table, processing: ProcessingSettings, *, in_order: bool = False) -> TrainingFit:
    target = Target(rows["label"].to_numpy(), ("a", "b", "c"))
    profile, columns = Profile.of_table(rows), schema_columns(rows.schema)
    return fit_training(profile, rows, lambda: target, columns, DATA, processing, in_order=in_order)


def check(transform: FittedTransform, rows: pa.Table, cut: int) -> int:
    """Check that all ways give the bits of a table's features, and return how many there are."""
    made = transform.transform_table(rows)
    assert made.dtype == np.float32
    assert made.shape == (rows.num_rows, len(transform.feature_names))
    assert np.isfinite(made).all()
    plain = rows.to_pylist()
    blocks = [rows.slice(0, cut), rows.slice(cut)]
    other = {
        "columns": transform.transform_table(rows, order="F"),
        "blocks": np.concatenate([transform.transform_table(block) for block in blocks]),
        "rows": transform.transform_rows(plain),
        "row by row": np.concatenate([transform.transform_rows([row]) for row in plain]),
    }
    for way, features in other.items():
        different = (made.view(np.int32) != np.ascontiguousarray(features).view(np.int32)).any(axis=0)
        assert [transform.feature_names[i] for i in np.flatnonzero(different)] == [], way
    return made.size


def check_all(
    train: list[dict[str, object]], new: list[dict[str, object]], processing: ProcessingSettings, cut: int
) -> int:
    transform = fitted(table([*train, *ANCHORS]), processing).transform
    read = FittedTransform.from_json(json.loads(json.dumps(transform.to_json(), allow_nan=False)))
    assert read == transform
    return sum(check(one, table(rows), cut) for one in (transform, read) for rows in (train, new))


@settings(max_examples=40)
@given(ROWS, ROWS, PROCESSING, st.integers(0, 12))
def test_tables_blocks_and_rows(
    train: list[dict[str, object]], new: list[dict[str, object]], processing: ProcessingSettings, cut: int
) -> None:
    check_all(train, new, processing, cut)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tables_blocks_and_rows_many_times(capsys: pytest.CaptureFixture[str]) -> None:
    counted = {"configs": 0, "features": 0}

    @settings(max_examples=N_SLOW, suppress_health_check=list(HealthCheck))
    @given(ROWS, ROWS, PROCESSING, st.integers(0, 12))
    def many(
        train: list[dict[str, object]], new: list[dict[str, object]], processing: ProcessingSettings, cut: int
    ) -> None:
        counted["configs"] += 1
        counted["features"] += check_all(train, new, processing, cut)

    many()
    with capsys.disabled():
        print(f"\n{counted['configs']:,} configs, {counted['features']:,} features, each in five ways")  # noqa: T201
    assert counted["configs"] >= N_SLOW
