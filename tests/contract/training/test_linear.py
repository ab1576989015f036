"""What the linear family promises beside the contract of all families."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression, Ridge

from raypipe.core.errors import ArtifactError
from raypipe.testing.training import training_set
from raypipe.training.families import linear_blocks
from raypipe.training.families.linear import Description, LinearModel
from raypipe.training.family import Terms, family_of
from raypipe.training.models import load_model
from raypipe.training.race import TrainingSet

FORMAT = "linear-safetensors"


def trained(data: TrainingSet, strength: float = 1.0) -> LinearModel:
    _, model = next(family_of("linear").train({"strength": strength}, data, Terms(1, 0, 1)))
    assert isinstance(model, LinearModel)
    return model


def ridge(coefficients: object, intercept: object, n_features: int = 2) -> LinearModel:
    return LinearModel(Description("ridge", n_features, 0, (), True), coefficients, intercept)  # type: ignore[arg-type]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    trained(training_set(5)).save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("strength", [0.01, 100.0])
def test_probabilities_are_those_of_scikit_learn(n_classes: int, strength: float) -> None:
    data = training_set(n_classes, n_rows=600)
    theirs = LogisticRegression(C=1.0 / strength, max_iter=100).fit(data.x_train, data.y_train)
    wide = data.x_validation.astype(np.float64)
    prediction = trained(data, strength).predict(data.x_validation)
    # For two classes scikit-learn takes one probability from 1, so a small one has an error of a rounded 1.
    np.testing.assert_allclose(prediction, theirs.predict_proba(wide), rtol=1e-12, atol=2.3e-16)
    assert np.array_equal(np.argmax(prediction, axis=1), theirs.predict(wide))


def test_values_are_those_of_scikit_learn() -> None:
    data = training_set(0, n_rows=600)
    theirs = Ridge(alpha=2.0).fit(data.x_train.astype(np.float64), data.y_train)
    wide = data.x_validation.astype(np.float64)
    same = ridge(theirs.coef_[None, :], [theirs.intercept_], n_features=4)
    np.testing.assert_allclose(same.predict(data.x_validation), theirs.predict(wide), rtol=1e-12)
    fitted = trained(data, 2.0).predict(data.x_validation)
    np.testing.assert_allclose(fitted, theirs.predict(wide), rtol=1e-6)


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e300, 1e300)), st.sampled_from([2, 4]))
def test_no_score_is_too_large_for_a_probability(weights: NDArray[np.float64], n_classes: int) -> None:
    description = Description("logistic", 3, n_classes, tuple(range(n_classes)), True)
    n_outputs = description.n_outputs
    model = LinearModel(description, weights.T[:n_outputs], np.zeros(n_outputs))
    prediction = model.predict(np.eye(3, dtype=np.float32))
    assert prediction.min() >= 0
    np.testing.assert_allclose(prediction.sum(axis=1), 1.0, rtol=1e-15)


def test_both_of_two_probabilities_keep_their_digits_when_small() -> None:
    model = LinearModel(Description("logistic", 1, 2, (0, 1), True), [[1.0]], [0.0])
    low, high = model.predict(np.array([[-60.0], [60.0]], dtype=np.float32))
    assert low[1] == high[0] == pytest.approx(np.exp(-60.0), rel=1e-12)


def test_absent_classes_are_kept_absent(tmp_path: Path) -> None:
    data = training_set(5)
    model = trained(replace(data, y_train=np.where(data.y_train == 3, 2, data.y_train)))
    model.save(tmp_path)
    again = load_model(tmp_path, FORMAT).predict(data.x_validation)
    assert np.array_equal(again, model.predict(data.x_validation))
    assert (again[:, 3] == 0).all() and (np.delete(again, 3, axis=1) > 0).all()


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        trained(training_set(5)).save(folder)
    first, second = ([path.read_bytes() for path in sorted(folder.iterdir())] for folder in folders)
    assert first == second and len(first) == 2


def test_loading_and_predicting_import_no_library_that_trains(kept: Path) -> None:
    code = (
        "import sys, pathlib, numpy\n"
        "from raypipe.training.models import load_model\n"
        f"model = load_model(pathlib.Path(sys.argv[1]), {FORMAT!r})\n"
        "print(model.predict(numpy.zeros((1, 4), dtype=numpy.float32)).shape)\n"
        "print(sorted({'sklearn', 'scipy', 'torch', 'xgboost', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, kept], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(1, 5)", "[]"]


def refused(folder: Path, says: str) -> None:
    with pytest.raises(ArtifactError, match=f"holds no linear model that raypipe saved: .*{says}"):
        load_model(folder, FORMAT)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"coefficients": np.zeros((5, 3))}, r"shapes \(5, 4\) and \(5,\). Got \(5, 3\)"),
        ({"coefficients": np.zeros((4, 5))}, r"Got \(4, 5\)"),
        ({"coefficients": np.zeros(20)}, r"Got \(20,\)"),
        ({"intercept": np.zeros(1)}, r"and \(1,\)"),
        ({"intercept": np.zeros((5, 1))}, r"and \(5, 1\)"),
        ({"intercept": np.array([0.0, 0.0, np.nan, 0.0, 0.0])}, "must be finite"),
        ({"coefficients": np.full((5, 4), np.inf)}, "must be finite"),
        (
            {"coefficients": np.zeros((5, 4), dtype=np.float32)},
            "must be float64. Got coefficients of float32",
        ),
        ({"intercept": np.zeros(5, dtype=np.int64)}, "must be float64. Got intercept of int64"),
        ({"description": np.zeros(1)}, "description"),
        ({"others": np.zeros(1)}, "others"),
    ],
)
def test_wrong_numbers_are_refused(kept: Path, change: dict[str, NDArray[np.float64]], says: str) -> None:
    save_file({**load_file(kept / "model.safetensors"), **change}, kept / "model.safetensors")
    refused(kept, says)


def test_lacking_numbers_are_refused(kept: Path) -> None:
    save_file({"intercept": np.zeros(5)}, kept / "model.safetensors")
    refused(kept, "coefficients")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "lasso"},
        {"kind": ["logistic"]},
        {"kind": "ridge"},
        {"kind": "ridge", "n_classes": 0},
        {"n_features": 4.0},
        {"n_features": -4},
        {"n_classes": True},
        {"n_classes": 4},
        {"classes": []},
        {"classes": [2]},
        {"classes": [0, 1, 2, 3, 3]},
        {"classes": [4, 3, 2, 1, 0]},
        {"classes": [-1, 0, 1, 2, 3]},
        {"classes": [0.0, 1, 2, 3, 4]},
        {"classes": "01234"},
        {"classes": 5},
        {"extra": 1},
    ],
)
def test_wrong_descriptions_are_refused(kept: Path, change: dict[str, object]) -> None:
    value = json.loads((kept / "model.json").read_text())
    (kept / "model.json").write_text(json.dumps({**value, **change}))
    refused(kept, "")


@pytest.mark.parametrize("text", ["[]", "null", "{}", "7", '{"classes": null}', "[" * 100_000, "{'a'"])
def test_other_json_is_refused(kept: Path, text: str) -> None:
    (kept / "model.json").write_text(text)
    refused(kept, "")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F16", "BOOL", "C64", "F4", "XYZ"])
def test_number_types_of_other_models_are_refused(kept: Path, dtype: str) -> None:
    path = kept / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F64"', f'"{dtype}"'.encode().ljust(5), 1))
    refused(kept, "")


def test_a_fit_that_was_cut_says_so(tmp_path: Path) -> None:
    data = training_set(2, n_rows=400, n_features=30)
    wild = (data.x_train * np.logspace(0, 3, 30)).astype(np.float32)
    calm, cut = trained(data), trained(replace(data, x_train=wild), strength=1e-3)
    assert calm.description.converged and not cut.description.converged
    cut.save(tmp_path)
    assert not LinearModel.load(tmp_path).description.converged


def test_huge_targets_keep_their_digits() -> None:
    data = training_set(0)
    far = replace(data, y_train=data.y_train + 1e9)
    near = trained(data).predict(data.x_validation)
    assert trained(far).predict(data.x_validation) - 1e9 == pytest.approx(near, abs=0.01)


@pytest.mark.parametrize("block_values", [7, 10**9])
@pytest.mark.parametrize("strength", [0.01, 100.0])
def test_block_by_block_the_same_objective_is_minimised(
    block_values: int, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_blocks, "BLOCK_VALUES", block_values)
    for n_classes in (2, 3):
        data = training_set(n_classes, n_rows=200)
        exact = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10_000)
        exact.fit(data.x_train.astype(np.float64), data.y_train)
        found = linear_blocks.logistic(data.x_train, data.y_train, strength, 1_000)
        assert found.converged
        assert found.coefficients == pytest.approx(exact.coef_, rel=0.02, abs=2e-3)
    data = training_set(0, n_rows=200)
    exact = Ridge(alpha=strength, solver="cholesky").fit(data.x_train.astype(np.float64), data.y_train)
    for max_features in (10, 1):
        found = linear_blocks.ridge(data.x_train, data.y_train, strength, max_features)
        assert found.coefficients[0] == pytest.approx(exact.coef_, rel=1e-3)
        assert found.intercept[0] == pytest.approx(exact.intercept_, rel=1e-5)
