"""Importance on planted truths, alike for every family, and beside scikit-learn's on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.split import split_rows
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS
from raypipe.training.config import ImportanceSettings, TrainingSettings
from raypipe.training.family import Terms, family_of
from raypipe.training.importance import Importance
from raypipe.training.leaderboard import BASELINE
from raypipe.training.models import Model
from raypipe.training.prepared import Prepared
from raypipe.training.race import Candidate, RaceResult, TrainingSet
from raypipe.training.search import defaults
from raypipe.training.task import infer_task
from raypipe.training.weighing import weigh

N_ROWS = 6_000
SETTINGS = DataSettings.model_validate(
    {"sources": [{"name": "rows", "format": "parquet", "path": "x"}], "label": "label"}
)


@cache
def planted(kind: str, *, leaks: bool = False) -> pa.Table:
    """Return rows of which `strong`, `weak` and `colour` tell the label; `twin` says what `strong` says."""
    random = np.random.default_rng(11)
    strong, weak = random.normal(size=(2, N_ROWS))
    colour = random.integers(4, size=N_ROWS)
    latent = 1.5 * strong + 0.3 * weak + 1.5 * (colour == 2) + 0.7 * random.normal(size=N_ROWS)
    label = latent > 0.3 if kind == "classification" else 100 + 10 * latent
    return pa.table(
        {
            "strong": strong,
            "twin": 32 - 1.8 * strong,
            "weak": weak,
            "colour": [("red", "green", "blue", "grey")[value] for value in colour],
            "colour_code": colour,
            "noise": random.normal(size=N_ROWS),
            "site": ["here"] * N_ROWS,
            **({"decided": np.where(random.random(N_ROWS) < 0.02, 0.3, latent)} if leaks else {}),
            "label": ["yes" if value else "no" for value in label] if kind == "classification" else label,
        }
    )


def prepared_of(rows: pa.Table) -> Prepared:
    split = split_rows(rows, SplitSettings(), time=None, seed=0)
    profile = Profile.of_table(split.train)
    transform = fit_transform(profile, schema_columns(rows.schema), SETTINGS, ProcessingSettings())
    return Prepared(split, infer_task(TrainingSettings(), "label", rows["label"]), transform, profile)


def encoded(prepared: Prepared) -> TrainingSet:
    split, task, transform = prepared.split, prepared.task, prepared.transform
    return TrainingSet(
        transform.transform_table(split.train),
        task.encode(split.train["label"]),
        transform.transform_table(split.validation),
        task.encode(split.validation["label"]),
        task,
        transform.feature_names,
    )


def trained(family: str, data: TrainingSet) -> Model:
    one = family_of(family)
    *_, (_, model) = one.train(defaults(one, data.task), data, Terms(1, 0, 1))
    return model


def raced(family: str, data: TrainingSet, folder: Path) -> RaceResult:
    candidates = []
    for name in (family, BASELINE):
        model = trained(name, data)
        place = folder / name
        place.mkdir()
        model.save(place)
        candidates.append(Candidate(name, {}, 0.0, 0.1, place, model.format, "t1"))
    return RaceResult(tuple(candidates), ())


def here(*_: object) -> Sequence[Interval]:
    raise AssertionError("so few rows are measured in this process")


def weighed(planted_rows: pa.Table, family: str, folder: Path, **settings: int) -> Importance:
    prepared = prepared_of(planted_rows)
    data = encoded(prepared)
    race = raced(family, data, folder)
    given = TrainingSettings(importance=ImportanceSettings(**settings))
    return weigh(prepared, data, race, family, given, spread=here, timer=lambda: 0.0)


def flags(found: Importance) -> dict[str, set[str]]:
    return {one.column: {finding.flag for finding in one.findings} for one in found.columns}


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("family", ["linear", "xgboost", "torch"])
def test_planted_truths_are_found_whatever_the_family(kind: str, family: str, tmp_path: Path) -> None:
    found = weighed(planted(kind).drop_columns("twin").drop_columns("colour_code"), family, tmp_path)
    assert [one.column for one in found.columns] == ["strong", "colour", "weak", "noise", "site"]
    assert flags(found) == {
        "strong": set(),
        "colour": set(),
        "weak": set(),
        "noise": {"useless"},
        "site": {"constant"},
    }
    strong = found.columns[0]
    assert strong.value is not None and strong.value.excludes_zero
    assert found.n_rows == found.n_validation_rows == N_ROWS // 5


@pytest.mark.parametrize("family", ["linear", "xgboost", "torch"])
def test_twins_are_told_whatever_the_model_reads(family: str, tmp_path: Path) -> None:
    found = weighed(planted("classification"), family, tmp_path)
    twins = {name for name, flag in flags(found).items() if "duplicate" in flag}
    assert twins == {"strong", "twin", "colour", "colour_code"}
    assert not any("leak" in flag for flag in flags(found).values())
    why = next(one for one in found.columns if one.column == "strong").findings[0].why
    assert why == "strong says the same as twin (rank correlation -1.0000): one of them is enough"


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("family", ["linear", "xgboost"])
def test_a_leak_stands_out(kind: str, family: str, tmp_path: Path) -> None:
    found = weighed(planted(kind, leaks=True), family, tmp_path)
    assert {name for name, flag in flags(found).items() if "leak" in flag} == {"decided"}
    assert found.columns[0].column == "decided"


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("family", ["linear", "xgboost"])
def test_scikit_learn_finds_the_same(kind: str, family: str, tmp_path: Path) -> None:
    from sklearn.inspection import permutation_importance

    rows = planted(kind).drop_columns("twin")
    ours = weighed(rows, family, tmp_path, repeats=20, rows=1_000)
    prepared = prepared_of(rows)
    data = encoded(prepared)
    model, task = trained(family, data), prepared.task
    names = [column.name for column in prepared.transform.inputs]
    drawn = np.sort(np.random.default_rng(0).choice(N_ROWS // 5, 1_000, replace=False))
    sample = prepared.split.validation.take(drawn)

    class Estimator:
        def fit(self, *_: Any) -> None: ...

        def __sklearn_is_fitted__(self) -> bool:
            return True

    def gain(_: Any, frame: pd.DataFrame, y: Any) -> float:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        metric = METRICS[task.metric]
        return metric.gain(metric(y, model.predict(prepared.transform.transform_table(table))), 0.0)

    theirs = permutation_importance(
        Estimator(),
        sample.select(names).to_pandas(),
        task.encode(sample["label"]),
        scoring=gain,
        n_repeats=20,
        random_state=0,
    )
    by_name = {one.column: one.value for one in ours.columns}
    for name, mean in zip(names, theirs["importances_mean"], strict=True):
        value = by_name[name]
        assert value is not None and value.low <= mean <= value.high, name
        assert mean == pytest.approx(value.value, abs=0.25 * (value.high - value.low) + 1e-12), name


def test_a_model_that_predicts_no_numbers_is_weighed_all_the_same(tmp_path: Path) -> None:
    """Whether it may serve is not for the importance of its columns to say."""
    rows = planted("regression")
    data = encoded(prepared_of(rows))
    race = raced("linear", data, tmp_path)
    spoilt = replace(data, x_validation=np.full_like(data.x_validation, np.nan))
    settings = TrainingSettings()
    found = weigh(prepared_of(rows), spoilt, race, "linear", settings, spread=here, timer=lambda: 0.0)
    assert {one.column for one in found.columns} == set(rows.column_names) - {"label"}
    assert all(one.value is None or np.isnan(one.value.value) for one in found.columns)
