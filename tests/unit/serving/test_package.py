from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import yaml

from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.sources.config import CsvSettings
from raypipe.data.split import split_rows
from raypipe.monitoring.reference import read_reference
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.serving.package import CARD_NAME, PROCESSING_NAME, Package, write_package
from raypipe.stats.intervals import Interval
from raypipe.testing.serving import tiny_model
from raypipe.training.importance import ColumnImportance, Finding, Importance, read_importance
from raypipe.training.leaderboard import Leaderboard, LeaderboardEntry
from raypipe.training.race import Candidate
from raypipe.training.task import Task

ROWS = pa.table(
    {
        "amount": [float(i % 37) for i in range(200)],
        "colour": [("red", "blue")[i % 2] for i in range(200)],
        "outcome": [("bad", "good")[i % 3 == 0] for i in range(200)],
    }
)
SETTINGS = DataSettings(sources=(CsvSettings(name="rows", format="csv", path="rows.csv"),), label="outcome")
SCORE = Interval(0.5, 0.4, 0.6)
ENTRY = LeaderboardEntry("baseline", "t0", "constant", {}, SCORE, SCORE, {}, None, None, 0.1, 1.0, 10)


def package_of(folder: Path) -> Package:
    split = split_rows(ROWS, SplitSettings(), time=None, seed=0)
    model = tiny_model()
    folder.mkdir()
    model.save(folder)
    profile = Profile.of_table(split.train)
    transform = fit_transform(profile, schema_columns(ROWS.schema), SETTINGS, ProcessingSettings())
    return Package(
        pipeline="tiny",
        run="r-0",
        data_version="d-0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        settings={},
        candidate=Candidate("baseline", {}, 0.5, 0.1, folder, model.format, "t0"),
        transform=transform,
        split=split,
        task=Task("classification", "outcome", ("bad", "good"), "auc"),
        leaderboard=Leaderboard("auc", True, "baseline", (ENTRY,), 40, 40, "rows"),
        profile=profile,
    )


def test_a_version_keeps_what_its_inputs_were_in_the_training_rows(tmp_path: Path) -> None:
    package = package_of(tmp_path / "candidate")
    write_package(tmp_path / "staged", package)
    reference = read_reference(tmp_path / "staged")
    assert reference.inputs == package.transform.inputs
    assert [one.n_rows for one in reference.columns] == [package.split.train.num_rows] * 2
    assert (tmp_path / "staged" / CARD_NAME).exists()


def test_a_version_keeps_what_its_columns_are_worth(tmp_path: Path) -> None:
    package = package_of(tmp_path / "candidate")
    write_package(tmp_path / "without", package)
    assert read_importance(tmp_path / "without") is None
    why = Finding("useless", "without colour the score is no worse")
    columns = (
        ColumnImportance("colour", 2, 1, Interval(0.1, -0.1, 0.2), 0.5, (why,)),
        ColumnImportance("one", 0, None, None, None),
    )
    importance = Importance("auc", 0.5, 40, 40, 5, columns)
    write_package(tmp_path / "with", replace(package, importance=importance))
    assert read_importance(tmp_path / "with") == importance
    card = (tmp_path / "with" / CARD_NAME).read_text()
    assert "| `colour` | 0.1 | -0.1 to 0.2 | useless |" in card
    assert "- useless: without colour the score is no worse." in card


def test_a_version_keeps_as_config_what_was_chosen(tmp_path: Path) -> None:
    package = package_of(tmp_path / "candidate")
    write_package(tmp_path / "staged", package)
    chosen = yaml.safe_load((tmp_path / "staged" / PROCESSING_NAME).read_text())["processing"]
    again = ProcessingSettings.model_validate(chosen)
    profile = Profile.of_table(package.split.train)
    refitted = fit_transform(profile, schema_columns(ROWS.schema), SETTINGS, again)
    assert refitted.steps == package.transform.steps


def test_the_profile_is_made_anew_where_it_is_not_given(tmp_path: Path) -> None:
    package = package_of(tmp_path / "candidate")
    write_package(tmp_path / "given", package)
    write_package(tmp_path / "made", replace(package, profile=None))
    assert read_reference(tmp_path / "made") == read_reference(tmp_path / "given")
