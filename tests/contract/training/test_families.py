"""What every model family must keep to; a new family is added to the list and nothing else."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.stats.metrics import METRICS
from raypipe.testing.training import in_files, training_set
from raypipe.training.family import Params, Terms, family_of
from raypipe.training.models import Model, load_model
from raypipe.training.race import TrainingSet
from raypipe.training.search import defaults

FAMILIES = ("baseline", "linear", "xgboost", "torch")
LEARNING = FAMILIES[1:]
SMALLER: dict[str, Params] = {"xgboost": {"n_trees": 60}, "torch": {"n_epochs": 9, "width": 32}}
N_RUNGS = 3

families = pytest.mark.parametrize("family", FAMILIES)
learning = pytest.mark.parametrize("family", LEARNING)
n_classes = pytest.mark.parametrize("n_classes", [0, 2, 5])


def trained(family: str, data: TrainingSet, seed: int = 0) -> list[Model]:
    """Return the models of the rungs; training may change them in place, so only the last is sure."""
    one = family_of(family)
    params = {**defaults(one, data.task), **SMALLER.get(family, {})}
    terms = Terms(N_RUNGS if one.in_parts else 1, seed, 1)
    rungs, models = zip(*one.train(params, data, terms), strict=True)
    assert list(rungs) == list(range(1, terms.n_rungs + 1))
    return list(models)


def kept(model: Model, folder: Path) -> Model:
    folder.mkdir()
    model.save(folder)
    return load_model(folder, model.format)


@families
@n_classes
def test_predictions_have_the_promised_shape(family: str, n_classes: int) -> None:
    data = training_set(n_classes)
    model = trained(family, data)[-1]
    for n_rows in (0, 1, 100):
        prediction = model.predict(data.x_validation[:n_rows])
        assert prediction.dtype == np.float64
        assert prediction.shape == ((n_rows, n_classes) if n_classes else (n_rows,))
        if n_classes:
            assert prediction.min(initial=0.0) >= 0
            assert prediction.sum(axis=1) == pytest.approx(np.ones(n_rows), abs=1e-6)


@families
@n_classes
def test_a_model_that_was_kept_predicts_the_same_to_the_bit(
    family: str, n_classes: int, tmp_path: Path
) -> None:
    data = training_set(n_classes)
    model = trained(family, data)[-1]
    again = kept(model, tmp_path / "m")
    for n_rows in (0, 1, 100):
        features = data.x_validation[:n_rows]
        assert np.array_equal(model.predict(features), again.predict(features))


@learning
@n_classes
def test_it_learns_more_than_the_baseline(family: str, n_classes: int) -> None:
    data = training_set(n_classes, n_rows=1200)
    metric = METRICS[data.task.metric]
    score, constant = (
        metric(data.y_validation, trained(name, data)[-1].predict(data.x_validation))
        for name in (family, "baseline")
    )
    assert metric.gain(score, constant) > 0


@families
@n_classes
def test_equal_seeds_train_equal_models(family: str, n_classes: int) -> None:
    data = training_set(n_classes)
    first, again = (trained(family, data, seed=5)[-1].predict(data.x_validation) for _ in range(2))
    assert np.array_equal(first, again)


@families
def test_a_class_that_no_training_row_has_is_still_a_column(family: str) -> None:
    data = training_set(5)
    lacking = replace(data, y_train=np.where(data.y_train == 3, 2, data.y_train))
    prediction = trained(family, lacking)[-1].predict(data.x_validation)
    assert prediction.shape == (len(data.x_validation), 5)
    assert np.isfinite(METRICS["log_loss"](data.y_validation, prediction))


@learning
def test_rows_of_another_width_are_refused(family: str, tmp_path: Path) -> None:
    model = kept(trained(family, training_set(2))[-1], tmp_path / "m")
    with pytest.raises(ValueError, match="rows of 4 features"):
        model.predict(np.zeros((2, 3), dtype=np.float32))


@families
def test_rows_that_cannot_be_written_are_no_obstacle(family: str) -> None:
    """The object store hands out read-only arrays."""
    data = training_set(2)
    for array in (data.x_train, data.y_train, data.x_validation):
        array.setflags(write=False)
    before = data.x_train.copy()
    trained(family, data)[-1].predict(data.x_validation)
    assert np.array_equal(data.x_train, before)


@families
def test_damaged_files_are_refused_in_one_sentence(family: str, tmp_path: Path) -> None:
    model = trained(family, training_set(2))[-1]
    kept(model, tmp_path / "m")
    for path in sorted((tmp_path / "m").iterdir()):
        whole = path.read_bytes()
        for damaged in (b"", whole[: len(whole) // 2], b"\x80\x04" + whole[2:]):
            path.write_bytes(damaged)
            with pytest.raises(ArtifactError) as caught:
                load_model(tmp_path / "m", model.format)
            assert "\n" not in str(caught.value)
        path.unlink()
        with pytest.raises(ArtifactError):
            load_model(tmp_path / "m", model.format)
        path.write_bytes(whole)
    load_model(tmp_path / "m", model.format)


class Canary:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self._path), "w")


@families
def test_a_pickle_in_place_of_a_file_is_never_run(family: str, tmp_path: Path) -> None:
    model = trained(family, training_set(2))[-1]
    kept(model, tmp_path / "m")
    canary = tmp_path / "sang"
    for path in sorted((tmp_path / "m").iterdir()):
        whole = path.read_bytes()
        path.write_bytes(pickle.dumps(Canary(canary)))
        with pytest.raises(ArtifactError):
            load_model(tmp_path / "m", model.format)
        path.write_bytes(whole)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary))).close()
    assert canary.exists(), "the canary must be able to sing"


@families
@n_classes
def test_rows_in_files_train_the_same_model(family: str, n_classes: int, tmp_path: Path) -> None:
    data = training_set(n_classes)
    if n_classes == 5:
        data = replace(data, y_train=np.where(data.y_train == 3, 4, data.y_train))
    mapped = in_files(data, tmp_path)
    assert isinstance(mapped.x_train, np.memmap)
    held, stored = (trained(family, one)[-1].predict(data.x_validation) for one in (data, mapped))
    # scikit-learn stops where its own steps in float32 do.
    scale = float(np.std(held)) if family == "linear" else 0.0
    assert stored == pytest.approx(held, rel=1e-6, abs=2e-3 * scale)
