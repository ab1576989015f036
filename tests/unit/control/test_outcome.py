"""What a job leaves behind, to the home and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.control.outcome import Retrained, read_progress, read_result, write_progress, write_result
from raypipe.core.home import Home, PipelineHome
from raypipe.core.progress import Step
from raypipe.training.compare import Comparison

FLOATS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | FLOATS
RESULTS = st.builds(
    Retrained,
    version=st.none() | st.just("v2"),
    params=st.dictionaries(st.text(max_size=5), PLAIN, max_size=3),
    cost_cpu_s=FLOATS,
    comparison=st.none()
    | st.builds(
        Comparison,
        champion_score=FLOATS,
        challenger_score=FLOATS,
        gain=FLOATS,
        gain_low=FLOATS,
        gain_high=FLOATS,
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> PipelineHome:
    return Home(tmp_path_factory.mktemp("home")).pipeline("flights")


@given(result=RESULTS)
def test_a_result_comes_back_equal(folder: PipelineHome, result: Retrained) -> None:
    write_result(folder, "flights-retrain-1", result)
    assert read_result(folder, "flights-retrain-1") == result


def test_how_far_a_retrain_is_can_be_read_while_it_runs(tmp_path: Path) -> None:
    folder = Home(tmp_path).pipeline("flights")
    assert read_progress(folder, "flights-retrain-1") == ""
    write_progress(folder, "flights-retrain-1", Step("train", "1 of 6 trials"))
    write_progress(folder, "flights-retrain-1", Step("judge", "500 test rows", 0.5))
    assert read_progress(folder, "flights-retrain-1") == "judge: 500 test rows"
    assert read_result(folder, "flights-retrain-1") is None


def test_no_result_yet_is_none(folder: PipelineHome) -> None:
    assert read_result(folder, "flights-retrain-2") is None


def test_each_decision_has_its_own(tmp_path: Path) -> None:
    folder = Home(tmp_path).pipeline("flights")
    write_result(folder, "flights-retrain-1", Retrained(error="too few labels"))
    write_result(folder, "flights-retrain-2", Retrained("v2"))
    write_result(folder, "flights-retrain-2", Retrained("v3"))
    found = [read_result(folder, f"flights-retrain-{n}") for n in (1, 2)]
    assert found == [Retrained(error="too few labels"), Retrained("v3")]
