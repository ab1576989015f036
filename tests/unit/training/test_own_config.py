"""What `training.models` may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.config.load import parse_config
from raypipe.core.errors import ConfigError
from raypipe.training.config import TrainingSettings
from raypipe.training.family import Choice, Real, Whole

SOURCE = {"name": "rows", "format": "csv", "path": "rows.csv"}


def parsed(folder: Path, **training: Any) -> TrainingSettings:
    document = {"name": "p", "data": {"sources": [SOURCE], "label": "y"}, "training": training}
    return parse_config(document, folder).training


def test_what_is_searched_is_asked_for_in_the_order_of_the_config() -> None:
    settings = TrainingSettings.model_validate(
        {
            "models": {
                "mine": {
                    "estimator": "a.b:C",
                    "search": {
                        "depth": {"low": 2, "high": 8},
                        "rate": {"low": 0.01, "high": 1.0, "log": True},
                        "share": {"low": 0, "high": 1.0, "default": 0.25},
                        "kind": ["sqrt", 0.5, 3, True],
                    },
                }
            }
        }
    )
    assert settings.racing == ("linear", "xgboost", "torch", "mine")
    assert settings.models["mine"].space() == (
        Whole("depth", 5, 2, 8),
        Real("rate", pytest.approx(0.1), 0.01, 1.0, log=True),
        Real("share", 0.25, 0.0, 1.0),
        Choice("kind", "sqrt", ("sqrt", 0.5, 3, True)),
    )


def test_the_code_lies_beside_the_config_unless_it_says_where(tmp_path: Path) -> None:
    models = {"mine": {"function": "mine:rule"}}
    assert parsed(tmp_path, models=models).code == str(tmp_path)
    assert parsed(tmp_path, models=models, code="src").code == str(tmp_path / "src")
    assert parsed(tmp_path).code is None


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"mine": {}}, "training.models.mine: a model must name exactly one of estimator, function"),
        ({"mine": {"estimator": "a:b", "function": "a:c"}}, "exactly one of estimator, function and network"),
        ({"mine": {"estimator": "a.b"}}, "training.models.mine.estimator must match"),
        (
            {"xgboost": {"function": "a:b"}},
            "other names than baseline, linear, torch, xgboost. Got",
        ),
        ({"mine": {"function": "a:b", "allow_pickle": True}}, "saver and allow_pickle are for an estimator"),
        ({"mine": {"function": "a:b", "search": {"c": [1]}}}, "search is for what is fitted"),
        ({"mine": {"network": "a:b", "frame": True}}, "a network takes tensors"),
        (
            {"mine": {"estimator": "a:b", "params": {"c": 1}, "search": {"c": [1]}}},
            "c must be in params, where it is fixed, or in search, and not in both",
        ),
        ({"mine": {"estimator": "a:b", "search": {"c": {"low": 2, "high": 1}}}}, "must have low < high"),
        ({"mine": {"estimator": "a:b", "search": {"n_recent": [1]}}}, "needs another name"),
        ({"mine": {"estimator": "a:b", "serch": {}}}, "did you mean 'search'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(models: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, models=models)
    assert sentence in str(caught.value)


def test_somebody_must_race(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1 item where there are no models"):
        parsed(tmp_path, families=[])
    assert parsed(tmp_path, families=[], models={"mine": {"function": "a:b"}}).racing == ("mine",)
