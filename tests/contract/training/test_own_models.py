"""Models of users, named by import path: each kind keeps to the rules, is kept as data, or is refused."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.core.errors import ArtifactError, ConfigError, TrainingError
from raypipe.serving.edge.needs import own_needs
from raypipe.serving.edge.vendor import needed_modules
from raypipe.testing.models import check_family, check_model, missing_class
from raypipe.testing.training import task_of, training_set
from raypipe.training.config import TrainingSettings
from raypipe.training.family import Terms, family_of
from raypipe.training.models import Model, load_model
from raypipe.training.own.families import check_models, own_families
from raypipe.training.own.signature import make_key
from raypipe.training.race import TrainingSet

CODE = Path(__file__).parent / "own_code"
SAVER = {"save": "mine_models:save_arrays", "load": "mine_models:load_arrays"}
Declared = Mapping[str, Any]
KINDS: dict[str, tuple[Declared, int, str]] = {
    "a class with fit and predict": ({"estimator": "mine_models:Centroids"}, 2, "sklearn-skops"),
    "the same, five classes": ({"estimator": "mine_models:Centroids"}, 5, "sklearn-skops"),
    "a class that saves itself": ({"estimator": "mine_models:Mean"}, 0, "own-saver"),
    "a saver in the config": ({"estimator": "mine_models:Centroids", "saver": SAVER}, 2, "own-saver"),
    "a signed pickle": ({"estimator": "mine_models:Closed", "allow_pickle": True}, 2, "pickle-signed"),
    "a factory of a forest": (
        {"estimator": "mine_models:forest", "search": {"n_trees": {"low": 3, "high": 9}}},
        2,
        "sklearn-skops",
    ),
    "a pipeline that a module holds": (
        {
            "estimator": "mine_models:scaled_forest",
            "search": {"randomforestclassifier__max_features": ["sqrt", 0.5]},
        },
        5,
        "sklearn-skops",
    ),
    "a pipeline on frames": (
        {
            "estimator": "mine_models:scaled_forest",
            "frame": True,
            "params": {"randomforestclassifier__n_jobs": 2},
        },
        2,
        "sklearn-skops",
    ),
    "gradient boosting of scikit-learn": (
        {"estimator": "sklearn.ensemble:HistGradientBoostingRegressor", "params": {"max_iter": 20}},
        0,
        "sklearn-skops",
    ),
    "nearest neighbours": ({"estimator": "sklearn.neighbors:KNeighborsRegressor"}, 0, "sklearn-skops"),
    "an estimator of XGBoost": (
        {"estimator": "xgboost:XGBClassifier", "params": {"n_estimators": 9}},
        5,
        "xgboost-ubj",
    ),
    "a function of an array": ({"function": "mine_models:rule"}, 2, "function-path"),
    "a function of a frame": ({"function": "mine_models:rule_by_name", "frame": True}, 0, "function-path"),
    "a torch module": (
        {"network": "mine_models:Net", "search": {"width": {"low": 8, "high": 32, "log": True}}},
        5,
        "network-safetensors",
    ),
    "a torch module of numbers": ({"network": "mine_models:Net"}, 0, "network-safetensors"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def settings_of(model: Declared, code: Path = CODE) -> TrainingSettings:
    return TrainingSettings.model_validate({"families": [], "models": {"mine": model}, "code": str(code)})


def trained(model: Declared, data: TrainingSet, home: Path, code: Path = CODE) -> Model:
    (home / "runs").mkdir(parents=True, exist_ok=True)
    make_key(home / "pickle.key")
    family = own_families(settings_of(model, code), home / "pickle.key")["mine"]
    params = {one.name: one.default for one in family.space(data.task)}
    *_, (_, made) = family.train(params, data, Terms(3 if family.in_parts else 1, 0, 1))
    return made


def kept(model: Model, folder: Path) -> Path:
    folder.mkdir(parents=True)
    model.save(folder)
    return folder


@kinds
def test_a_model_of_ones_own_keeps_to_the_rules(kind: str) -> None:
    model, n_classes, format = KINDS[kind]
    checked = check_model(model, n_classes=n_classes, code=str(CODE), elsewhere=False)
    assert checked.format == format


@pytest.mark.parametrize("family", ["baseline", "linear", "xgboost", "torch"])
@pytest.mark.parametrize("n_classes", [0, 2])
def test_the_houses_families_keep_to_the_same_rules(family: str, n_classes: int, tmp_path: Path) -> None:
    checked = check_family(family_of(family), training_set(n_classes), tmp_path, elsewhere=False)
    assert checked.alone == "to the bit"


def test_what_a_worker_cannot_import_is_told() -> None:
    checked = check_model({"function": "mine_models:rule"}, code=str(CODE))
    assert checked.again == "to the bit"

    def local(rows: object) -> object:
        return rows

    with pytest.raises(ConfigError, match="must stand at the top of a module"):
        check_model(local)


def test_a_model_that_breaks_rules_hears_of_each() -> None:
    with pytest.raises(AssertionError, match="breaks 2 rules") as caught:
        check_model({"estimator": "mine_models:Drawn"}, code=str(CODE), elsewhere=False)
    assert "equal seeds" in str(caught.value) and "a row alone" in str(caught.value)


REFUSED: dict[str, tuple[Declared, str]] = {
    "no such name": ({"estimator": "mine_models:nothing"}, "mine_models:nothing cannot be imported"),
    "no such module": ({"network": "not_there:Net"}, "No module named 'not_there'"),
    "no probabilities": (
        {"estimator": "mine_models:OnlyLabels"},
        "fit and predict_proba for a classification. Got mine_models.OnlyLabels by mine_models:OnlyLabels, "
        "which has no predict_proba; sklearn.calibration.CalibratedClassifierCV",
    ),
    "a number": ({"estimator": "math:pi"}, "a class, a function that makes an estimator, or an object"),
    "an unknown parameter": (
        {"estimator": "mine_models:Centroids", "params": {"blunt": 1}},
        "does not take {'blunt': 1} (TypeError",
    ),
    "a class as a function": ({"function": "mine_models:Net"}, "must name a function of features"),
    "a class that is no module": (
        {"network": "mine_models:Mean"},
        "a class of torch.nn.Module. Got mine_models:Mean, which is Mean",
    ),
    "outputs too many": ({"network": "mine_models:Crooked"}, "must answer 4 rows in the shape (4, 2)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_before_the_race(case: str) -> None:
    model, sentence = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        check_models(settings_of(model), task_of(2))
    assert sentence in str(caught.value)


def test_what_nothing_keeps_says_how_it_could_be_kept(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        trained({"estimator": "mine_models:Closed"}, training_set(2), tmp_path)
    told = str(caught.value)
    assert "types that are not loaded, as they might run code (fractions.Fraction)" in told
    for way in ("`save(self, folder)`", "`training.models.mine.saver:", "`allow_pickle: true`"):
        assert way in told


def test_a_class_that_no_training_row_has_is_still_a_column(tmp_path: Path) -> None:
    data = missing_class(training_set(5))
    made = trained({"estimator": "mine_models:scaled_forest"}, data, tmp_path)
    found = made.predict(data.x_validation)
    assert found.shape == (len(data.x_validation), 5) and not found[:, 4].any()


def test_an_answer_of_another_shape_is_told(tmp_path: Path) -> None:
    made = trained({"function": "mine_models:rule"}, training_set(5), tmp_path)
    with pytest.raises(ValueError, match=r"a probability for each class: the shape \(120, 5\). Got \(120,\)"):
        made.predict(training_set(5).x_validation)
    with pytest.raises(ValueError, match="rows of 4 features"):
        made.predict(np.zeros((2, 3), np.float32))


# What is tampered with.


class Canary:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self._path), "w")


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "sang"
    yield path
    assert not path.exists()


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    model = trained({"estimator": "mine_models:Closed", "allow_pickle": True}, training_set(2), tmp_path)
    return kept(model, tmp_path / "models" / "v1" / "model")


def test_a_pickle_is_loaded_only_as_it_was_signed(pickled: Path, canary: Path, tmp_path: Path) -> None:
    load_model(pickled, "pickle-signed")
    whole, told = (pickled / "model.pickle").read_bytes(), (pickled / "own.json").read_text()
    (pickled / "model.pickle").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ArtifactError, match="must have the signature of this home"):
        load_model(pickled, "pickle-signed")
    (pickled / "model.pickle").write_bytes(whole)
    (pickled / "own.json").write_text(told.replace('"n_features": 4', '"n_features": 5'))
    with pytest.raises(ArtifactError, match="must have the signature of this home"):
        load_model(pickled, "pickle-signed")
    (pickled / "own.json").write_text(told)
    load_model(pickled, "pickle-signed")
    (tmp_path / "pickle.key").write_text("0" * 64)
    with pytest.raises(ArtifactError, match="made elsewhere"):
        load_model(pickled, "pickle-signed")


def test_a_pickle_of_another_home_is_not_loaded(pickled: Path, canary: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other" / "models" / "v1" / "model"
    shutil.copytree(pickled, elsewhere)
    (elsewhere / "model.pickle").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ArtifactError, match="loaded only in the home that signed it"):
        load_model(elsewhere, "pickle-signed")
    shutil.copytree(pickled, tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="loaded only in the home that signed it"):
        load_model(tmp_path / "nowhere", "pickle-signed")


def test_the_key_is_for_this_user_alone(pickled: Path, tmp_path: Path) -> None:
    assert (tmp_path / "pickle.key").stat().st_mode & 0o777 == 0o600


def test_other_types_in_a_skops_file_are_named_and_not_loaded(tmp_path: Path) -> None:
    import skops.io

    model = trained({"estimator": "mine_models:Centroids"}, training_set(2), tmp_path)
    folder = kept(model, tmp_path / "m")
    for stranger in (subprocess.Popen, shutil.rmtree):
        (folder / "model.skops").write_bytes(skops.io.dumps([stranger, 1]))
        name = f"{stranger.__module__}.{stranger.__name__}"
        with pytest.raises(ArtifactError, match=f"types that are not loaded, .*: {name}"):
            load_model(folder, model.format)


def test_a_pickle_within_a_skops_file_is_not_loaded(tmp_path: Path, canary: Path) -> None:
    model = trained({"estimator": "mine_models:Centroids"}, training_set(2), tmp_path)
    folder = kept(model, tmp_path / "m")
    with zipfile.ZipFile(folder / "model.skops", "a") as archive:
        archive.writestr("more.pkl", pickle.dumps(Canary(canary)))
    with pytest.raises(ArtifactError, match=r"schema.json and arrays alone.*Got more\.pkl"):
        load_model(folder, model.format)
    (folder / "model.skops").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ArtifactError, match="is no file of skops"):
        load_model(folder, model.format)


@pytest.mark.parametrize(
    "kind", ["a class with fit and predict", "a torch module", "a class that saves itself"]
)
def test_damaged_files_are_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    model, n_classes, format = KINDS[kind]
    folder = kept(trained(model, training_set(n_classes), tmp_path), tmp_path / "m")
    for path in [one for one in sorted(folder.rglob("*")) if one.is_file()]:
        whole = path.read_bytes()
        for damaged in (b"", whole[: len(whole) // 2], b"\x80\x04\x95" + whole[3:]):
            path.write_bytes(damaged)
            with pytest.raises(ArtifactError) as caught:
                load_model(folder, format)
            assert "\n" not in str(caught.value)
        path.write_bytes(whole)
    load_model(folder, format)


def test_a_saver_may_write_archives_of_arrays_and_no_pickles(tmp_path: Path, canary: Path) -> None:
    model = trained({"estimator": "mine_models:Centroids", "saver": SAVER}, training_set(2), tmp_path)
    folder = kept(model, tmp_path / "m")
    assert load_model(folder, "own-saver")
    with zipfile.ZipFile(folder / "saved" / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Canary(canary)))
    with pytest.raises(ArtifactError, match="an archive with pickles in it"):
        load_model(folder, "own-saver")
    sly = {"save": "mine_models:save_pickle", "load": "mine_models:load_pickle"}
    model = trained({"estimator": "mine_models:Centroids", "saver": sly}, training_set(2), tmp_path)
    folder = kept(model, tmp_path / "sly")
    with pytest.raises(ArtifactError, match=r"sly\.bin is a Python pickle"):
        load_model(folder, "own-saver")


def test_code_that_changed_is_told_and_code_that_is_gone_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "passing.py").write_text("def rule(x):\n    return x[:, 0] * 0 + 0.5\n")
    model = trained({"function": "passing:rule"}, training_set(2), tmp_path, tmp_path)
    folder = kept(model, tmp_path / "m")
    with caplog.at_level(logging.WARNING, "raypipe.training"):
        load_model(folder, "function-path")
        assert not caplog.messages
        (tmp_path / "passing.py").write_text("def rule(x):\n    return x[:, 0] * 0 + 0.4\n")
        load_model(folder, "function-path")
    assert "the code of passing:rule has changed since the model was made" in caplog.messages[0]
    told = json.loads((folder / "own.json").read_text())
    (folder / "own.json").write_text(json.dumps({**told, "path": "gone_for_good:rule"}))
    with pytest.raises(ArtifactError, match=r"gone_for_good:rule cannot be imported .*PYTHONPATH"):
        load_model(folder, "function-path")


# The table of the README.

_LOAD_ALL = """
import json, sys
from pathlib import Path
import numpy as np
from raypipe.training.models import load_model
for folder, format, rows in json.loads(sys.argv[1]):
    np.save(Path(folder) / "answers.npy", load_model(Path(folder) / "model", format).predict(np.load(rows)))
"""


def test_every_kind_comes_back_to_the_bit_in_a_fresh_process(tmp_path: Path) -> None:
    """The lines that are not in the README are the error, and so can be pasted there."""
    asked: list[tuple[str, str, str]] = []
    expected: list[np.ndarray[Any, Any]] = []
    house = {name: (family_of(name), n) for name in ("baseline", "linear", "xgboost", "torch") for n in (2,)}
    for number, kind in enumerate((*house, *KINDS)):
        data = training_set(house[kind][1] if kind in house else KINDS[kind][1])
        if kind in house:
            family = house[kind][0]
            params = {one.name: one.default for one in family.space(data.task)}
            *_, (_, model) = family.train(params, data, Terms(3 if family.in_parts else 1, 0, 1))
        else:
            model = trained(KINDS[kind][0], data, tmp_path)
        place = tmp_path / "runs" / str(number)
        kept(model, place / "model")
        np.save(place / "rows.npy", data.x_validation)
        asked.append((str(place), model.format, str(place / "rows.npy")))
        expected.append(model.predict(data.x_validation))
    command = [sys.executable, "-c", _LOAD_ALL, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    lines = [
        f"| {kind} | `{format}` | {'yes' if np.array_equal(_answers(place), before) else 'no'} |"
        for kind, (place, format, _), before in zip((*house, *KINDS), asked, expected, strict=True)
    ]
    assert "\n".join(lines) in readme


def _answers(place: str) -> Any:
    return np.load(Path(place) / "answers.npy")


def test_what_an_exported_folder_runs_needs_no_config_and_no_pickle(pickled: Path, tmp_path: Path) -> None:
    assert "raypipe.training.own.estimator" in needed_modules()
    assert "raypipe.training.own.config" not in needed_modules()
    with pytest.raises(ArtifactError, match="is loaded only in its home, and not exported"):
        own_needs(pickled, "pickle-signed")
    model = trained({"function": "mine_models:rule_by_name", "frame": True}, training_set(0), tmp_path)
    folder = kept(model, tmp_path / "m")
    assert own_needs(folder, model.format) == (("pandas",), ("mine_models:rule_by_name",))
