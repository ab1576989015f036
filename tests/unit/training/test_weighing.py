from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.split import split_rows
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.stats.intervals import Interval
from raypipe.training.config import ImportanceSettings, TrainingSettings
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.importance import Finding, Importance
from raypipe.training.leaderboard import BASELINE
from raypipe.training.permutation import Measurement
from raypipe.training.prepared import Prepared
from raypipe.training.race import Candidate, RaceResult, TrainingSet
from raypipe.training.task import infer_task
from raypipe.training.weighing import weigh

N_ROWS = 3_000
LABEL = DataSettings.model_validate(
    {"sources": [{"name": "rows", "format": "parquet", "path": "x"}], "label": "y"}
)


def rows() -> pa.Table:
    random = np.random.default_rng(5)
    return pa.table(
        {
            "a": random.normal(size=N_ROWS),
            "b": random.normal(size=N_ROWS),
            "c": random.normal(size=N_ROWS),
            "one": np.ones(N_ROWS),
            "y": random.integers(2, size=N_ROWS),
        }
    )


def prepared_of(features: tuple[str, ...] | None = None) -> Prepared:
    split = split_rows(rows(), SplitSettings(), time=None, seed=0)
    profile = Profile.of_table(split.train)
    processing = ProcessingSettings() if features is None else ProcessingSettings(features=features)
    transform = fit_transform(profile, schema_columns(split.train.schema), LABEL, processing)
    return Prepared(split, infer_task(TrainingSettings(), "y", split.train["y"]), transform, profile)


def race_of(folder: Path) -> RaceResult:
    model = ConstantModel((0.5, 0.5), None)
    model.save(folder)
    return RaceResult((Candidate(BASELINE, {}, 0.5, 0.1, folder, model.format, "t0"),), ())


class Elsewhere:
    """Measures nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, _: Measurement, __: Candidate, columns: Sequence[str]) -> list[Interval]:
        self.asked += columns
        return [Interval(float(n), float(n), float(n)) for n, _ in enumerate(columns, start=1)]


def weighed(
    folder: Path, prepared: Prepared, *, a_column_s: float = 0.0, limit: int = 5_000
) -> tuple[Importance, Elsewhere]:
    ticks: Iterator[float] = iter([0.0, a_column_s])
    elsewhere = Elsewhere()
    split, task = prepared.split, prepared.task
    data = TrainingSet(
        prepared.transform.transform_table(split.train),
        task.encode(split.train["y"]),
        prepared.transform.transform_table(split.validation),
        task.encode(split.validation["y"]),
        task,
        prepared.transform.feature_names,
    )
    settings = TrainingSettings(importance=ImportanceSettings(rows=limit, repeats=2))
    found = weigh(
        prepared, data, race_of(folder), BASELINE, settings, spread=elsewhere, timer=lambda: next(ticks)
    )
    return found, elsewhere


def test_what_is_quick_is_measured_here(tmp_path: Path) -> None:
    found, elsewhere = weighed(tmp_path, prepared_of(), a_column_s=2.4)
    assert elsewhere.asked == []
    assert [one.column for one in found.columns] == ["a", "b", "c", "one"]


def test_what_takes_longer_is_spread_out(tmp_path: Path) -> None:
    found, elsewhere = weighed(tmp_path, prepared_of(), a_column_s=2.6)
    assert elsewhere.asked == ["b", "c"], "one column has told how long they take"
    assert [(one.column, one.rank) for one in found.columns] == [("c", 1), ("b", 2), ("a", 3), ("one", None)]


def test_a_constant_is_told_whether_it_is_used_or_left_out(tmp_path: Path) -> None:
    found, _ = weighed(tmp_path, prepared_of())
    left_out = found.columns[-1]
    assert (left_out.column, left_out.n_features, left_out.value) == ("one", 0, None)
    assert left_out.findings == (
        Finding("constant", "one has only one value in the training rows: it is left out"),
    )
    found, _ = weighed(tmp_path, prepared_of(("a", "one")))
    used = next(one for one in found.columns if one.column == "one")
    assert [finding.flag for finding in used.findings] == ["constant", "useless"]
    assert used.findings[0].why == "one has only one value in all 1,800 training rows"


@pytest.mark.parametrize(("limit", "n_rows"), [(100, 100), (5_000, 600)])
def test_many_validation_rows_are_sampled_and_it_is_said(tmp_path: Path, limit: int, n_rows: int) -> None:
    found, _ = weighed(tmp_path, prepared_of(), limit=limit)
    assert (found.n_rows, found.n_validation_rows, found.repeats) == (n_rows, 600, 2)


def test_a_constant_model_needs_no_column(tmp_path: Path) -> None:
    found, _ = weighed(tmp_path, prepared_of())
    assert found.score == 0.5
    assert {one.column for one in found.with_flag("useless")} == {"a", "b", "c"}
