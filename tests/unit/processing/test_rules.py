"""What a fit chose, written as config, chooses the same again."""

from __future__ import annotations

import pyarrow as pa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import TrainingFit
from raypipe.processing.rules import as_config
from raypipe.processing.target import Target
from raypipe.processing.training_part import fit_training

N = 40
DATA = DataSettings.model_validate(
    {"sources": [{"name": "s", "format": "csv", "path": "-"}], "label": "y", "drop": ["dropped"]}
)
ROWS = pa.table(
    {
        "x": [float(i % 7) for i in range(N)],
        "cost[a]*": [None, *(float(i * i) for i in range(1, N))],
        "code": [i % 3 for i in range(N)],
        "job": ["a", "b", None, "c"] * (N // 4),
        "constant": [1] * N,
        "dropped": list(range(N)),
        "y": [i % 2 for i in range(N)],
    }
)
NUMBERS = st.sampled_from(
    [
        {
            "clip": [0.1, 0.9],
            "transform": "yeo_johnson",
            "scale": "robust",
            "impute": "constant",
            "value": -1,
        },
        {"transform": "power", "power": 0.3, "scale": "minmax", "indicator": False},
        {"bins": {"n": 3, "by": "width", "encode": "ordinal"}},
        {},
    ]
)
CATEGORIES = st.sampled_from(
    [
        {"encode": "ordinal", "order": ["b", "a"], "impute": "mode"},
        {"encode": "hash", "n_features": 4, "indicator": False},
        {"encode": "target", "smoothing": 3},
        {"encode": "text", "n_features": 8, "ngrams": [1, 2]},
        {"frequency": True, "max_categories": 2, "min_count": 3},
        {},
    ]
)


def fit(processing: ProcessingSettings) -> TrainingFit:
    target = Target(ROWS["y"].to_numpy(), ("0", "1"))
    columns = schema_columns(ROWS.schema)
    profile = Profile.of_table(ROWS)
    return fit_training(profile, ROWS, lambda: target, columns, DATA, processing, in_order=False)


@settings(max_examples=30)
@given(NUMBERS, CATEGORIES, st.booleans())
def test_pasted_back_it_gives_the_same_steps(
    number: dict[str, object], category: dict[str, object], crossed: bool
) -> None:
    first = fit(
        ProcessingSettings.model_validate(
            {
                "as_category": ["code"],
                "columns": [{"match": "c*[[]*", **number}, {"match": "job", **category}],
                "crosses": [{"columns": ["job", "code"], "encode": "hash", "n_features": 8}] * crossed,
            }
        )
    ).transform
    pasted = yaml.safe_load(as_config(first))["processing"]
    assert fit(ProcessingSettings.model_validate(pasted)).transform.steps == first.steps


def test_what_it_looks_like() -> None:
    processing = ProcessingSettings.model_validate(
        {"crosses": [{"columns": ["code", "job"], "min_count": 2}]}
    )
    text = as_config(fit(processing).transform)
    assert text.splitlines()[:4] == [
        "processing:",
        "  features: [x, 'cost[a]*', code, job]",
        "  columns:",
        "  - {match: x, impute: median, indicator: true, transform: none, scale: standard}",
    ]
    assert "match: 'cost[[]a][*]'" in text
    assert (
        "- {columns: [code, job], encode: onehot, max_categories: 24, min_count: 2, frequency: false}" in text
    )
