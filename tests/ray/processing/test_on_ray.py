from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import DataError
from raypipe.data.config import DataSettings, SourceSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.transform import FittedTransform

pytestmark = pytest.mark.usefixtures("local_ray")

N = 5000
BLOCK_ROWS = 640


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    random = np.random.default_rng(0)
    start = datetime(2024, 1, 1)
    return pa.table(
        {
            "x": pa.array(
                random.normal(size=N) * 10.0 ** random.integers(-9, 9, N), mask=random.random(N) < 0.1
            ),
            "i": random.integers(0, 9000, N),
            "job": pa.array(random.choice(["a", "b", "ü", "日本"], N), mask=random.random(N) < 0.1),
            "t": [start + timedelta(minutes=i) for i in range(N)],
            "y": random.integers(0, 2, N),
        }
    )


@pytest.fixture(scope="module")
def transform(rows: pa.Table) -> FittedTransform:
    source = SourceSettings(name="s", format="csv", path="-")
    settings = DataSettings(sources=(source,), label="y")
    return fit_transform(
        Profile.of_table(rows), schema_columns(rows.schema), settings, ProcessingSettings(use_time=True)
    )


def test_features_are_those_of_one_process(rows: pa.Table, transform: FittedTransform) -> None:
    from raypipe.processing.on_ray import transform_over_ray

    made = transform_over_ray(rows, transform, block_rows=BLOCK_ROWS)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert made.tobytes() == transform.transform_table(rows).tobytes()


def test_the_profile_is_that_of_one_process(rows: pa.Table) -> None:
    from raypipe.processing.on_ray import profile_over_ray

    assert profile_over_ray(rows, block_rows=BLOCK_ROWS) == Profile.of_table(rows)
    assert profile_over_ray(rows, ["t", "x"], block_rows=N) == Profile.of_table(rows, ["t", "x"])


def test_a_dataset_is_taken_too(rows: pa.Table, transform: FittedTransform) -> None:
    import ray.data

    from raypipe.processing.on_ray import profile_over_ray, transform_over_ray

    dataset = ray.data.from_arrow([rows.slice(0, 10), rows.slice(10)])
    assert np.array_equal(transform_over_ray(dataset, transform), transform.transform_table(rows))
    assert profile_over_ray(dataset) == Profile.of_table(rows)


def test_no_rows(rows: pa.Table, transform: FittedTransform) -> None:
    from raypipe.processing.on_ray import profile_over_ray, transform_over_ray

    empty = rows.slice(0, 0)
    assert transform_over_ray(empty, transform).shape == (0, len(transform.feature_names))
    with pytest.raises(DataError, match="must be rows to profile"):
        profile_over_ray(empty)


def test_polars_keeps_to_the_cpu_of_its_task(rows: pa.Table, transform: FittedTransform) -> None:
    import ray.data

    dataset = ray.data.from_arrow(rows).map_batches(
        _threads_after_features, batch_format="pyarrow", fn_kwargs={"transform": transform}
    )
    assert dataset.take_all() == [{"n_threads": 1}]


def _threads_after_features(batch: pa.Table, transform: FittedTransform) -> dict[str, np.ndarray]:
    from raypipe.processing.on_ray import _features

    _features(batch, transform)
    import polars as pl

    return {"n_threads": np.array([pl.thread_pool_size()])}


def test_the_order_of_other_datasets_is_left_alone(rows: pa.Table, transform: FittedTransform) -> None:
    import ray.data

    from raypipe.processing.on_ray import transform_over_ray

    transform_over_ray(rows, transform)
    assert not ray.data.DataContext.get_current().execution_options.preserve_order
