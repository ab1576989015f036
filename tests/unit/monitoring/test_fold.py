"""The fold gives what the whole tables give, however they grew and whatever became of its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.core.errors import StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import (
    LabelRecord,
    PredictionRecord,
    label_schema,
    label_table,
    prediction_schema,
    prediction_table,
)
from raypipe.data.committer import read_labels, read_predictions
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.small_files import merge_small
from raypipe.data.table import Write, commit, open_table
from raypipe.monitoring.config import DriftSettings, MonitoringSettings
from raypipe.monitoring.fold import Fold
from raypipe.monitoring.life import Life
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import WindowReport
from raypipe.monitoring.watch import Watch
from raypipe.monitoring.window import measure
from raypipe.testing import FakeClock
from raypipe.training.task import Task

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
TASK = Task("classification", "outcome", ("bad", "good"), "accuracy")
SETTINGS = MonitoringSettings(
    window_rows=4, window_labels=3, min_rows=2, min_labels=1, drift=DriftSettings(step_rows=10)
)
TRAINING = pa.table({"x": [float(i % 10) for i in range(100)]})
REFERENCE = Reference.of(Profile.of_table(TRAINING), schema_columns(TRAINING.schema))
WATCH = Watch(TASK, REFERENCE)


def answer(id: str, at_s: float, version: str = "v1", x: float = 1.0) -> PredictionRecord:
    given = (x / 10, 1 - x / 10)
    at = NOON + timedelta(seconds=at_s)
    return PredictionRecord(id, at, version, "champion", json.dumps({"x": x}), "good", given)


def truth(id: str, at_s: float, label: str = "good") -> LabelRecord:
    return LabelRecord(id, label, NOON + timedelta(seconds=at_s))


@dataclass
class Grown:
    """The captured tables of a pipeline, as they grow."""

    folder: PipelineHome
    settings: MonitoringSettings = SETTINGS
    n_commits: int = field(default=0, init=False)
    log: list[PredictionRecord] = field(default_factory=list)

    def answers(self, records: Sequence[PredictionRecord]) -> None:
        self.log += records
        self._commit(self.folder.predictions, prediction_schema(), prediction_table(records))

    def labels(self, records: Sequence[LabelRecord]) -> None:
        self._commit(self.folder.labels, label_schema(), label_table(records))

    def _commit(self, path: Path, schema: pa.Schema, rows: pa.Table) -> None:
        self.n_commits += 1
        commit(open_table(path, schema), path, Write(rows, f"c{self.n_commits}"), mode="append")

    def seen(self, fold: Fold, version: str = "v1") -> WindowReport:
        captured = fold.read(version, LATER)
        tables = captured.predictions, captured.labels
        return self._report(*tables, version, counts=captured.counts)

    def whole(self, version: str = "v1") -> WindowReport:
        return self._report(read_predictions(self.folder), read_labels(self.folder), version)

    def _report(self, predictions: pa.Table, labels: pa.Table, version: str, **given: object) -> WindowReport:
        return measure(REFERENCE, TASK, predictions, labels, self.settings, version=version, at=NOON, **given)  # type: ignore[arg-type]

    def fold(self) -> Fold:
        return Fold(self.folder, self.settings, {"v1": WATCH, "v2": WATCH}.get)

    def life(self, version: str) -> Life:
        """Return what the log comes to, taken at once; nobody knows what v3 was trained on."""
        first: dict[str, PredictionRecord] = {}
        for one in self.log:
            first.setdefault(one.id, one)
        rows = [json.loads(one.inputs) for one in first.values() if one.version == version]
        if version == "v3" or not rows:
            return Life()
        return Life().after(REFERENCE, pa.Table.from_pylist(rows), self.settings.drift.step_rows)


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    return Grown(Home(tmp_path).pipeline("p"))


IDS = st.sampled_from("abcdefghij")
TIMES = st.integers(0, 6)
ANSWERS = st.lists(
    st.builds(answer, IDS, TIMES, st.sampled_from(["v1", "v2", "v3"]), st.sampled_from([1.0, 9.0])),
    min_size=1,
    max_size=8,
)
LABELS = st.lists(
    st.builds(truth, IDS, TIMES, st.sampled_from(["good", "bad", "odd"])), min_size=1, max_size=8
)
DEEDS = st.one_of(
    st.tuples(st.just("answers"), ANSWERS),
    st.tuples(st.just("labels"), LABELS),
    st.tuples(st.sampled_from(["look", "restart", "lose", "damage", "compact"]), st.none()),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=st.lists(DEEDS, min_size=2, max_size=9), version=st.sampled_from(["v1", "v3"]))
def test_a_fold_gives_what_the_whole_tables_give(
    deeds: list[tuple[str, Sequence[PredictionRecord] | Sequence[LabelRecord] | None]], version: str
) -> None:
    with TemporaryDirectory() as place:
        grown = Grown(Home(Path(place)).pipeline("p"))
        fold = grown.fold()
        for deed, records in deeds:
            match deed:
                case "answers" | "labels":
                    getattr(grown, deed)(records)
                case "look":
                    assert grown.seen(fold, version) == grown.whole(version)
                case "restart":
                    fold = grown.fold()
                case "lose":
                    grown.folder.fold.unlink(missing_ok=True)
                case "damage" if grown.folder.fold.exists():
                    grown.folder.fold.write_bytes(b"no database, as far as anybody can tell" * 30)
                case "compact" if (grown.folder.predictions / "_delta_log").exists():
                    merge_small(grown.folder.predictions, FakeClock(), more_than=1)
        assert grown.seen(fold, version) == grown.whole(version)
        assert grown.seen(grown.fold(), version) == grown.whole(version)
        assert fold.read(version, LATER).lives.counts == grown.life(version)


def test_nothing_captured(grown: Grown) -> None:
    fold = grown.fold()
    assert fold.follow() == (-1, -1)
    assert grown.seen(fold) == grown.whole()


def test_only_what_is_new_is_read(grown: Grown) -> None:
    fold = grown.fold()
    for number in range(5):
        grown.answers([answer(f"r{number}", number)])
        assert fold.follow() == (number + 1, -1)
        for file in grown.folder.predictions.glob("*.parquet"):
            file.write_bytes(b"whoever reads this again fails")
    assert fold.read("v1", LATER).counts.n_predictions == 5


def test_what_is_known_already_moves_nothing(grown: Grown) -> None:
    grown.answers([answer("a", 0)])
    fold = grown.fold()
    position = fold.follow()
    written = grown.folder.fold.stat().st_mtime_ns
    assert (fold.follow(), grown.folder.fold.stat().st_mtime_ns) == (position, written)


def test_rows_that_were_removed_are_forgotten(grown: Grown) -> None:
    grown.answers([answer("a", 0), answer("b", 1)])
    fold = grown.fold()
    assert fold.read("v1", LATER).counts.n_predictions == 2
    DeltaTable(str(grown.folder.predictions)).delete("id = 'a'")
    assert fold.read("v1", LATER).predictions["id"].to_pylist() == ["b"]
    assert fold.read("v1", LATER).counts.n_predictions == 1


def test_entries_that_were_cleaned_up_are_read_from_the_checkpoint(grown: Grown) -> None:
    fold = grown.fold()
    grown.answers([answer("a", 0)])
    fold.follow()
    for number in range(3):
        grown.answers([answer(f"r{number}", 1 + number)])
    DeltaTable(str(grown.folder.predictions)).create_checkpoint()
    for version in (1, 2, 3):
        (grown.folder.predictions / "_delta_log" / f"{version:020d}.json").unlink()
    assert grown.seen(fold) == grown.whole()
    assert fold.read("v1", LATER).counts.n_predictions == 4


def test_the_life_of_a_version_is_the_same_however_it_was_killed_or_lost(grown: Grown) -> None:
    for number in range(7):
        version = "v2" if number == 3 else "v1"
        grown.answers([answer(f"r{number}-{i}", number, version, x=float(i)) for i in range(6)])
        if number == 4:
            grown.answers([answer("r0-0", number)])
        if number % 2:
            grown.fold().follow()
    kept = grown.fold().read("v1", LATER).lives.counts
    grown.folder.fold.unlink()
    again = grown.fold().read("v1", LATER).lives.counts
    assert kept == again == grown.life("v1")
    assert (kept.n_rows, kept.drift.tests.n_windows) == (36, 3)


def test_other_steps_are_counted_anew(grown: Grown) -> None:
    grown.answers([answer(f"r{number}", number) for number in range(40)])
    assert grown.fold().read("v1", LATER).lives.counts.drift.tests.n_windows == 4
    grown.settings = SETTINGS.model_copy(update={"drift": DriftSettings(step_rows=20)})
    assert grown.fold().read("v1", LATER).lives.counts == grown.life("v1")


def test_a_longer_window_is_folded_anew_and_a_shorter_one_is_not(grown: Grown) -> None:
    grown.answers([answer(f"r{number}", number) for number in range(9)])
    assert grown.seen(grown.fold()) == grown.whole()
    for window_rows in (7, 3):
        grown.settings = SETTINGS.model_copy(update={"window_rows": window_rows})
        assert grown.seen(grown.fold()) == grown.whole()
        assert grown.whole().n_rows == window_rows


def test_ids_that_are_known_or_come_twice_among_many_that_are_new(grown: Grown) -> None:
    fold = grown.fold()
    grown.labels([truth("early", 1)])
    grown.answers([answer(f"a{number}", number, x=number % 10) for number in range(30)])
    fold.follow()
    mixed = [answer("a3", 90, x=9.0), answer("early", 31, "v2", x=2.0), answer("twice", 32, x=3.0)]
    new = [answer(f"b{number}", 40 + number, ["v1", "v2", "v3"][number % 3], x=4.0) for number in range(12)]
    grown.answers([*new[:6], *mixed, *new[6:], answer("twice", 33, "v3", x=5.0)])
    for version in ("v1", "v2", "v3"):
        assert grown.seen(fold, version) == grown.whole(version)
        lives = fold.read(version, LATER).lives
        assert lives.counts == grown.life(version)
        assert lives.n_answers == {"v1": 35, "v2": 5, "v3": 0}[version]
    assert fold.read("v1", LATER).counts.n_predictions == 44


def test_first_labels_among_others(grown: Grown) -> None:
    fold = grown.fold()
    grown.answers([answer(f"a{number}", number) for number in range(70)])
    grown.labels([truth(f"a{number}", 100 + number) for number in range(60)])
    assert grown.seen(fold) == grown.whole()
    assert fold.read("v1", LATER).counts.n_labelled == 60
    others = [truth("a3", 200, "bad"), truth("a4", 201), truth("nobody", 202), truth("a60", 203)]
    grown.labels([truth("a61", 204), *others, truth("a60", 205, "bad"), truth("a62", 206)])
    found = grown.seen(fold)
    assert found == grown.whole()
    labels = found.labels
    assert (labels.n_labelled, labels.n_unknown, labels.n_repeated, labels.n_corrected) == (63, 1, 1, 2)


def test_rows_that_another_writer_has_rewritten_are_read(grown: Grown) -> None:
    grown.answers([answer("a", 0), answer("b", 1)])
    grown.labels([truth("b", 2)])
    for path, id in ((grown.folder.predictions, "id"), (grown.folder.labels, "prediction_id")):
        DeltaTable(str(path)).delete(f"{id} = 'a'")
    fold = grown.fold()
    assert grown.seen(fold) == grown.whole()
    assert fold.read("v1", LATER).counts.n_labelled == 1


def test_late_labels_find_old_answers(grown: Grown) -> None:
    fold = grown.fold()
    grown.answers([answer(f"r{number}", number) for number in range(9)])
    fold.follow()
    grown.labels([truth("r0", 90)])
    found = grown.seen(fold)
    assert found == grown.whole()
    assert (found.n_labels, found.labels.delay_max_s) == (1, 90.0)


def test_a_folder_that_cannot_be_written_says_so(grown: Grown) -> None:
    grown.answers([answer("a", 0)])
    grown.folder.fold.mkdir()
    with pytest.raises(StorageError, match=r"window\.db cannot be written"):
        grown.fold().follow()
