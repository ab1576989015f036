"""Code of the user's: run only where it is allowed, alike for a table and a row, and kept without pickle."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.steps import FittedFunction
from raypipe.processing.stored import read_transform, write_transform
from raypipe.processing.target import Target
from raypipe.processing.training_part import fit_training
from raypipe.processing.transform import FittedTransform

CODE = """
import numpy as np
import polars as pl

def ratio(frame, over=1.0):
    return frame.select(ratio=pl.col("a") / pl.col("b") * over, more=pl.col("a") + 1)

def array(frame):
    return np.column_stack([frame["a"].fill_null(0).to_numpy(), frame["word"].str.len_chars().fill_null(0)])

def kinds(frame):
    utc = pl.Datetime("us", "UTC")
    assert frame.schema == {"i": pl.Int64, "flag": pl.Boolean, "word": pl.String, "t": utc}
    return frame.select(pl.col("i") * 2, pl.col("flag").cast(pl.Int8), pl.col("t").dt.hour())

def centred(frame):
    return frame.select(pl.col("a") - pl.col("a").mean())

def ranked(frame):
    return np.arange(frame.height)

def text(frame):
    return frame["word"]

def short(frame):
    return np.zeros((1, 1))

def broken(frame):
    raise RuntimeError("no luck")
"""
N = 60
ROWS = pa.table(
    {
        "a": pa.array([None if i % 7 == 0 else i / 3 for i in range(N)], pa.float64()),
        "b": [float(i % 5) for i in range(N)],
        "i": pa.array([None if i % 9 == 0 else i for i in range(N)], pa.int64()),
        "flag": [None if i % 8 == 0 else i % 2 == 0 for i in range(N)],
        "word": ["x" * (i % 4) for i in range(N)],
        "t": pa.array([i * 3_600_000_000 for i in range(N)], pa.timestamp("us", "UTC")),
        "y": [i % 2 for i in range(N)],
    }
)
DATA = DataSettings.model_validate({"sources": [{"name": "s", "format": "csv", "path": "-"}], "label": "y"})


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raypipe_test_code.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def fit(custom: dict[str, object], **others: object) -> FittedTransform:
    said = {"features": ["b"], "custom": [custom], "allow_code": True, **others}
    columns, processing = schema_columns(ROWS.schema), ProcessingSettings.model_validate(said)
    target = Target(np.zeros(N))
    profile = Profile.of_table(ROWS)
    return fit_training(profile, ROWS, lambda: target, columns, DATA, processing, in_order=False).transform


def function(name: str, *columns: str, **params: object) -> dict[str, object]:
    return {"function": f"raypipe_test_code:{name}", "columns": columns, "params": params}


def check_same(transform: FittedTransform) -> np.ndarray:
    by_table = transform.transform_table(ROWS)
    assert by_table.tobytes() == transform.transform_rows(ROWS.to_pylist()).tobytes()
    single = np.concatenate([transform.transform_rows([row]) for row in ROWS.to_pylist()])
    assert by_table.tobytes() == single.tobytes()
    assert np.isfinite(by_table).all()
    return by_table


def test_a_function_makes_features_of_a_frame() -> None:
    transform = fit(function("ratio", "a", "b", over=2))
    assert transform.feature_names == ("b", "ratio(a,b).ratio", "ratio(a,b).more")
    assert transform.executes == ("raypipe_test_code:ratio",)
    made = check_same(transform)
    # 1/3 over 1, twice; the missing a of row 0 and the b of 0 in row 5 give 0 and the largest number.
    assert made[1, 1] == np.float32(2 / 3)
    assert made[0, 1:].tolist() == [0, 0]
    assert made[5, 1] == np.finfo(np.float32).max


def test_a_function_may_return_an_array_of_numbers_and_read_text() -> None:
    transform = fit(function("array", "a", "word"))
    assert transform.feature_names == ("b", "array(a,word).0", "array(a,word).1")
    check_same(transform)


def test_each_kind_has_its_type() -> None:
    transform = fit(function("kinds", "i", "flag", "word", "t"))
    check_same(transform)
    others = pa.table({"b": [1.0], "i": [3.0], "flag": [1], "word": ["a"], "t": ROWS["t"].slice(0, 1)})
    assert transform.transform_table(others)[0, 1:].tolist() == [6, 1, 0]
    assert transform.transform_rows([{"b": 1, "i": 2.5, "flag": 7}])[0, 1:].tolist() == [0, 0, 0]
    empty = ROWS.slice(0, 0)
    assert transform.transform_table(empty).shape == (0, 4)


@pytest.mark.parametrize("name", ["centred", "ranked"])
def test_a_function_of_more_than_the_row_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"custom\[0\]: raypipe_test_code:\w+ must give a row the same features"
    ):
        fit(function(name, "a"))


@pytest.mark.parametrize(
    ("custom", "sentence"),
    [
        (function("text", "word"), "must give numbers. Got"),
        (function("short", "a"), "must give a line for each of 60 rows. Got the shape .1, 1."),
        (function("broken", "a"), "failed on training rows .RuntimeError: no luck."),
        (function("absent", "a"), "cannot be imported .AttributeError"),
        ({"function": "raypipe_no_such:f", "columns": ["a"]}, "cannot be imported .* PYTHONPATH"),
        (function("ratio", "y"), "must not name 'y', which is the label"),
        (
            {"transformer": "sklearn.preprocessing:SplineTransformer", "columns": ["word"]},
            "columns of numbers",
        ),
        ({"transformer": "sklearn.preprocessing:NoSuch", "columns": ["a"]}, "cannot be imported"),
        (
            {
                "transformer": "sklearn.preprocessing:SplineTransformer",
                "columns": ["a"],
                "params": {"degree": -1},
            },
            "failed on training rows .InvalidParameterError",
        ),
    ],
)
def test_what_does_not_work_is_told_at_the_fit(custom: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        fit(custom)


@pytest.mark.parametrize(
    ("path", "params", "n_features"),
    [
        ("sklearn.preprocessing:SplineTransformer", {"n_knots": 4, "extrapolation": "constant"}, 12),
        ("sklearn.preprocessing:PolynomialFeatures", {"include_bias": False}, 5),
        ("sklearn.preprocessing:OneHotEncoder", {"handle_unknown": "ignore", "max_categories": 3}, 6),
        ("sklearn.kernel_approximation:RBFSampler", {"random_state": 0, "n_components": 7}, 7),
    ],
)
def test_a_transformer_is_fitted_on_filled_numbers(
    tmp_path: Path, path: str, params: dict[str, object], n_features: int
) -> None:
    transform = fit({"transformer": path, "columns": ["a", "i"], "params": params})
    assert len(transform.feature_names) == 1 + n_features
    made = check_same(transform)
    write_transform(tmp_path / "v1", transform)
    assert b"pickle" not in (tmp_path / "v1" / "step-1-state.skops").read_bytes()
    read = read_transform(tmp_path / "v1")
    assert read == transform
    assert read.transform_table(ROWS).tobytes() == made.tobytes()
    assert pickle.loads(pickle.dumps(read)) == transform


def test_what_was_fitted_is_read_back(tmp_path: Path) -> None:
    transform = fit(function("ratio", "a", "b"))
    assert FittedTransform.from_json(json.loads(json.dumps(transform.to_json()))) == transform
    [step] = [step for step in transform.steps if isinstance(step, FittedFunction)]
    assert len(step.source) == 64


def test_code_that_gives_other_features_than_at_training_is_refused() -> None:
    transform = fit(function("array", "a", "word"))
    value = json.loads(json.dumps(transform.to_json()))
    value["steps"][1]["outputs"] = ["0"]
    with pytest.raises(ArtifactError, match="must give 1 numbers a row, as at training"):
        FittedTransform.from_json(value).transform_table(ROWS)
