from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.core.errors import DataError
from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.sources.config import CsvSettings
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.stream import FeatureTask, ProfileTask, profile_files, write_features
from raypipe.processing.stretches import Stretch, stretches_of
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
    source = CsvSettings(name="s", format="csv", path="-")
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


@pytest.fixture(scope="module")
def stretches(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stretch, ...]:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    parquet.write_table(rows, path, row_group_size=BLOCK_ROWS)
    return stretches_of([path], 2 * BLOCK_ROWS)


def test_the_profile_of_files_is_that_of_one_process(rows: pa.Table, stretches: tuple[Stretch, ...]) -> None:
    from raypipe.processing.on_ray import profile_files_over_ray

    task = ProfileTask(schema_columns(rows.schema))
    assert profile_files_over_ray(stretches, task) == Profile.of_table(rows)
    chosen = np.arange(N) % 7 < 3
    found = profile_files_over_ray(stretches, task, chosen=chosen)
    assert found == profile_files(stretches, task, chosen=chosen)


def test_files_of_features_are_those_of_one_process(
    stretches: tuple[Stretch, ...], transform: FittedTransform, tmp_path: Path
) -> None:
    from raypipe.processing.on_ray import write_features_over_ray

    for name, write in (("here", write_features), ("ray", write_features_over_ray)):
        (tmp_path / name).mkdir()
        assert write(stretches, FeatureTask(transform, tmp_path / name, kept=("y",))) == N
    here, ray = ([path.read_bytes() for path in sorted((tmp_path / n).iterdir())] for n in ("here", "ray"))
    assert len(here) == len(stretches)
    assert here == ray


def test_a_dataset_is_taken_too(rows: pa.Table, transform: FittedTransform) -> None:
    import ray.data

    from raypipe.processing.on_ray import transform_over_ray

    dataset = ray.data.from_arrow([rows.slice(0, 10), rows.slice(10)])
    assert np.array_equal(transform_over_ray(dataset, transform), transform.transform_table(rows))


def test_no_rows(rows: pa.Table, transform: FittedTransform) -> None:
    from raypipe.processing.on_ray import profile_files_over_ray, transform_over_ray, write_features_over_ray

    empty = rows.slice(0, 0)
    assert transform_over_ray(empty, transform).shape == (0, len(transform.feature_names))
    with pytest.raises(DataError, match="must be rows to profile"):
        profile_files_over_ray((), ProfileTask(schema_columns(rows.schema)))
    assert write_features_over_ray((), FeatureTask(transform, Path("nowhere"))) == 0


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
