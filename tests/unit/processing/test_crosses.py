from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.core.errors import ConfigError
from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.target import Target
from raypipe.processing.training_part import fit_training
from raypipe.processing.transform import FittedTransform

DATA = DataSettings.model_validate(
    {"sources": [{"name": "s", "format": "csv", "path": "-"}], "label": "y", "drop": ["dropped"]}
)
ROWS = pa.table(
    {
        "hour": [8, 8, 17, 17, None, 8],
        "weekday": ["mon", "mon", "sun", "sun", "sun", None],
        "flag": [True, True, False, False, True, True],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "dropped": [1, 2, 3, 4, 5, 6],
        "y": [0, 1, 0, 1, 0, 1],
    }
)


def fit(*crosses: object, **others: object) -> FittedTransform:
    columns, profile = schema_columns(ROWS.schema), Profile.of_table(ROWS)
    said = {"categorical": {"min_count": 1}, **others, "crosses": crosses}
    processing = ProcessingSettings.model_validate(said)
    target = Target(ROWS["y"].to_numpy(), ("0", "1"))
    return fit_training(profile, ROWS, lambda: target, columns, DATA, processing, in_order=False).transform


def test_pairs_are_values() -> None:
    transform = fit(["hour", "weekday"], features=["price"])
    assert transform.feature_names == (
        "price",
        "hour & weekday=17 & sun",
        "hour & weekday=8 & mon",
        "hour & weekday=8 & <missing>",
        "hour & weekday=<missing> & sun",
    )
    rows = [{"hour": 8, "weekday": "mon"}, {"hour": 8.0, "weekday": None}, {"hour": 1, "weekday": "mon"}, {}]
    assert transform.transform_rows(rows)[:, 1:].tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0] * 4, [0] * 4]


def test_columns_of_a_cross_are_inputs_though_no_features_of_their_own() -> None:
    transform = fit(["hour", "flag"], features=["price"])
    assert [column.name for column in transform.inputs] == ["price", "hour", "flag"]
    assert transform.ignored == ("weekday", "dropped", "y")


def test_every_encoding_of_categories_but_text() -> None:
    names = ["weekday", "flag"]
    for encode, n_features in {"ordinal": 1, "hash": 5, "target": 1}.items():
        more = {"n_features": 5} if encode == "hash" else {}
        transform = fit({"columns": names, "encode": encode, **more}, features=["price"])
        assert len(transform.feature_names) == 1 + n_features
    with pytest.raises(ConfigError, match=r"crosses\[0\].encode must be onehot, ordinal, hash or target"):
        fit({"columns": names, "encode": "text"})


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["hour", "wekday"],
            "crosses.0. must name columns of the data. Got 'wekday': did you mean 'weekday'",
        ),
        (["hour", "y"], "crosses.0. must not name 'y', which is the label"),
        (["hour", "dropped"], "crosses.0. must not name 'dropped', which is listed in data.drop"),
        (["hour", "price"], "Got 'price', of kind number"),
    ],
)
def test_what_cannot_be_crossed_is_refused(names: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        fit(names)
