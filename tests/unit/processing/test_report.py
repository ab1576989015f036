from __future__ import annotations

import pytest

from raypipe.core.errors import ArtifactError
from raypipe.processing.report import FeatureChoice

USED = FeatureChoice("age", 2, "a number: scaled")
LEFT_OUT = FeatureChoice("y", 0, "is the label")


def test_choices_read_as_sentences() -> None:
    assert USED.used
    assert not LEFT_OUT.used
    assert str(USED) == "age: 2 features (a number: scaled)"
    assert str(FeatureChoice("a", 1, "b")) == "a: 1 feature (b)"
    assert str(LEFT_OUT) == "y: left out (is the label)"


@pytest.mark.parametrize("choice", [USED, LEFT_OUT], ids=str)
def test_json_round_trip(choice: FeatureChoice) -> None:
    assert FeatureChoice.from_json(choice.to_json()) == choice


def test_other_json_is_refused() -> None:
    with pytest.raises(ArtifactError, match="A choice must"):
        FeatureChoice.from_json({"column": "a"})
