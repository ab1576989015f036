from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from raypipe.core.errors import DataError, SchemaError
from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import Column, schema_columns
from raypipe.processing import stretches as stretches_module
from raypipe.processing import table as table_module
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.stream import FeatureTask, ProfileTask, profile_files, write_features
from raypipe.processing.stretches import Stretch, stretches_of
from raypipe.processing.transform import FittedTransform

N = 1000
SETTINGS = DataSettings.model_validate(
    {"sources": [{"name": "s", "format": "parquet", "path": "-"}], "label": "y"}
)


def rows(n: int = N) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "x": pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
            "i": random.integers(0, 900, n),
            "job": pa.array(random.choice(["a", "b", "ü", "日本"], n), mask=random.random(n) < 0.1),
            "t": [datetime(2024, 1, 1) + timedelta(minutes=17 * i) for i in range(n)],
            "y": random.integers(0, 2, n),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files, the first in groups of 300 rows, the second in one."""
    whole = rows()
    parquet.write_table(whole.slice(0, 700), tmp_path / "b.parquet", row_group_size=300)
    parquet.write_table(whole.slice(700), tmp_path / "a.parquet")
    return [tmp_path / "b.parquet", tmp_path / "a.parquet"]


@pytest.fixture
def transform() -> FittedTransform:
    whole = rows()
    return fit_transform(
        Profile.of_table(whole), schema_columns(whole.schema), SETTINGS, ProcessingSettings()
    )


@pytest.mark.parametrize(
    ("n_rows", "want"),
    [
        (1, [((0,), 0, 300), ((1,), 300, 300), ((2,), 600, 100), ((0,), 700, 300)]),
        (400, [((0,), 0, 300), ((1, 2), 300, 400), ((0,), 700, 300)]),
        (N, [((0, 1, 2), 0, 700), ((0,), 700, 300)]),
    ],
)
def test_stretches_keep_row_groups_whole_and_files_apart(
    files: list[Path], n_rows: int, want: list[tuple[tuple[int, ...], int, int]]
) -> None:
    found = stretches_of(files, n_rows)
    assert [(one.groups, one.start, one.n_rows) for one in found] == want


def test_batches_know_their_place(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches_module, "BATCH_ROWS", 128)
    batches = [batch for stretch in stretches_of(files) for batch in stretch.batches(["i", "gone"])]
    assert [start for start, _ in batches][:3] == [0, 128, 256]
    assert max(batch.num_rows for _, batch in batches) == 128
    assert all(batch.column_names == ["i"] for _, batch in batches)
    found = pa.concat_tables([batch for _, batch in batches])
    assert found["i"].to_pylist() == rows()["i"].to_pylist()


@pytest.mark.parametrize("n_rows", [1, 400, N])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_profile_is_that_of_one_table(files: list[Path], n_rows: int, n_threads: int) -> None:
    task = ProfileTask(schema_columns(rows().schema))
    assert profile_files(stretches_of(files, n_rows), task, n_threads=n_threads) == Profile.of_table(rows())


def test_the_profile_of_chosen_rows_and_of_the_wanted_parts(files: list[Path]) -> None:
    chosen = np.arange(N) % 3 == 0
    parts = {"x": ("quantiles",), "i": ()}
    columns = schema_columns(rows().select(["x", "i"]).schema)
    found = profile_files(stretches_of(files, 1), ProfileTask(columns, parts), chosen=chosen)
    assert found == Profile.of_table(rows().filter(pa.array(chosen)), ["x", "i"], parts)


def test_a_column_that_no_file_has_is_missing(files: list[Path]) -> None:
    found = profile_files(stretches_of(files), ProfileTask((Column("new", "number", True),)))
    assert (found["new"].n_rows, found["new"].n_nulls) == (N, N)


@pytest.mark.parametrize("n_rows", [1, N])
def test_features_are_those_of_one_table(
    files: list[Path], transform: FittedTransform, tmp_path: Path, n_rows: int
) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    task = FeatureTask(transform, folder, kept=("y", "job"))
    assert write_features(stretches_of(files, n_rows), task, n_threads=2) == N
    written = dataset.dataset(sorted(folder.iterdir())).to_table()
    assert written.column_names == [*transform.feature_names, "y", "job"]
    assert {written.schema.field(name).type for name in transform.feature_names} == {pa.float32()}
    made = np.column_stack([written[name].to_numpy() for name in transform.feature_names])
    assert made.tobytes() == transform.transform_table(rows()).tobytes()
    assert written.select(["y", "job"]).equals(rows().select(["y", "job"]))


def test_columns_are_made_in_pieces_of_any_size(
    transform: FittedTransform, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = transform.transform_table(rows()).tobytes()
    monkeypatch.setattr(table_module, "_CHUNK_ROWS", 300)
    for n_rows in (1, 7, 299, 300, 301):
        monkeypatch.setattr(table_module, "_COLUMN_ROWS", n_rows)
        assert transform.transform_table(rows(), order="F").tobytes() == want


def test_a_kept_column_may_not_be_called_as_a_feature_is(
    files: list[Path], transform: FittedTransform, tmp_path: Path
) -> None:
    task = FeatureTask(transform, tmp_path, kept=("x",))
    with pytest.raises(SchemaError, match=r"different names. Got \['x'\]"):
        write_features(stretches_of(files), task)


def test_an_error_in_one_stretch_ends_the_others(tmp_path: Path) -> None:
    gone = [Stretch(str(tmp_path / "gone"), (0,), i, 1) for i in range(50)]
    with pytest.raises(FileNotFoundError):
        profile_files(gone, ProfileTask(()), n_threads=2)


def test_no_rows(tmp_path: Path, transform: FittedTransform) -> None:
    parquet.write_table(rows(0), tmp_path / "empty.parquet")
    empty = stretches_of([tmp_path / "empty.parquet"])
    with pytest.raises(DataError, match="must be rows to profile"):
        profile_files(empty, ProfileTask(schema_columns(rows(0).schema)))
    assert write_features(empty, FeatureTask(transform, tmp_path / "features")) == 0
