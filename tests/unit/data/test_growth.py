"""Live rows join the rows of the sources, and who may judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.clock import Clock
from raypipe.core.errors import DataError
from raypipe.core.home import Home, PipelineHome
from raypipe.data.blocks import StoredRows
from raypipe.data.captured import Answer, LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.fragments import read_quarantine, read_rows
from raypipe.data.growth import grow, is_grown, live_ids, read_grown, split_grown
from raypipe.data.ingest import ingest
from raypipe.data.live import AT_COLUMN, ID_COLUMN
from raypipe.data.versions import ENDPOINT, DataVersion
from raypipe.data.wal import WalWriter
from raypipe.processing.config import ProcessingSettings
from raypipe.testing import FakeClock
from raypipe.testing.data import VersionsInMemory
from raypipe.training.config import TrainingSettings
from raypipe.training.preparing import prepared_grown

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SPLIT = SplitSettings()


def grown(live: Sequence[tuple[str, int]], n_history: int, *, shuffle: int = 0) -> pa.Table:
    """Return rows of a grown version: `row` is a row's own number, live rows are (id, second)."""
    n_rows = n_history + len(live)
    table = pa.table(
        {
            "row": pa.array(range(n_rows), pa.int64()),
            "when": pa.array([NOON - timedelta(hours=n) for n in range(n_rows)], pa.timestamp("us", "UTC")),
            ID_COLUMN: pa.array([None] * n_history + [id for id, _ in live], pa.string()),
            AT_COLUMN: pa.array(
                [None] * n_history + [NOON + timedelta(seconds=second) for _, second in live],
                pa.timestamp("us", "UTC"),
            ),
        }
    )
    return table.take(np.random.default_rng(shuffle).permutation(n_rows))


@given(
    seconds=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    n_history=st.integers(0, 10),
    n_seen=st.integers(0, 40),
    max_rows=st.integers(1, 50),
    shuffle=st.integers(0, 9),
    time=st.sampled_from([None, "when"]),
)
def test_who_judges_was_never_seen_and_is_the_newest(
    seconds: list[int], n_history: int, n_seen: int, max_rows: int, shuffle: int, time: str | None
) -> None:
    live = [(f"r{i}", second) for i, second in enumerate(seconds)]
    seen = frozenset(id for id, _ in live[::2][:n_seen])
    fresh = {n_history + i: second for i, (id, second) in enumerate(live) if id not in seen}
    rows = grown(live, n_history, shuffle=shuffle)
    try:
        split = split_grown(rows, SPLIT, max_rows=max_rows, seen=seen, time=time)
    except DataError:
        assert len(fresh) < 5
        return
    train, validation, test = (
        part["row"].to_pylist() for part in (split.train, split.validation, split.test)
    )
    assert sorted([*train, *validation, *test]) == list(range(n_history + len(live)))
    assert set(validation) | set(test) <= set(fresh)
    assert set(train) & set(fresh)
    assert 1 <= len(test) <= max_rows and 1 <= len(validation) <= max_rows
    learned = [fresh[row] for row in train if row in fresh]
    assert max(learned) <= min(fresh[row] for row in validation)
    assert max(fresh[row] for row in validation) <= min(fresh[row] for row in test)
    assert all(row >= n_history for row in train[-1:])
    assert ID_COLUMN not in split.test.column_names and AT_COLUMN not in split.train.column_names


def test_training_rows_are_in_time_order_so_that_the_newest_can_be_taken() -> None:
    live = [(f"r{i}", 100 - i) for i in range(40)]
    split = split_grown(grown(live, 10, shuffle=3), SPLIT, max_rows=5, seen=frozenset({"r39"}), time="when")
    rows = split.train["row"].to_pylist()
    assert rows == [*sorted(range(10), reverse=True), 49, *sorted(rows[11:], reverse=True)]
    assert split.test["row"].to_pylist() == [14, 13, 12, 11, 10]
    assert split.boundaries == tuple(
        (NOON + timedelta(seconds=second)).isoformat() for second in (100 - 9, 100 - 4)
    )


@pytest.mark.parametrize("n_fresh", [0, 1, 2])
def test_too_few_new_labels_are_refused(n_fresh: int) -> None:
    live = [(f"r{i}", i) for i in range(20 + n_fresh)]
    seen = frozenset(f"r{i}" for i in range(20))
    with pytest.raises(DataError, match=f"{n_fresh} labelled rows are new since the champion"):
        split_grown(grown(live, 10), SPLIT, max_rows=500, seen=seen, time=None)


class Growing:
    """A pipeline's rows: 20 of a file, and whatever was captured."""

    def __init__(self, folder: PipelineHome, settings: DataSettings, clock: Clock) -> None:
        self.folder, self.settings, self.clock = folder, settings, clock
        self.versions = VersionsInMemory()
        self.n_streams = 0
        self.base = ingest(settings, folder, self.versions, clock=clock)

    def capture(self, *records: PredictionRecord | LabelRecord) -> None:
        self.n_streams += 1
        writer = WalWriter(self.folder.wal, f"s{self.n_streams}", self.clock)
        writer.open()
        writer.append_all([encode(record) for record in records])
        writer.close()
        commit_once(self.folder)

    def grow(self, *redacted: str) -> DataVersion:
        return grow(self.settings, self.folder, self.versions, clock=self.clock, redacted=redacted)


@pytest.fixture
def growing(tmp_path_factory: pytest.TempPathFactory) -> Growing:
    place = tmp_path_factory.mktemp("grow")
    lines = ["amount,colour,outcome", *(f"{n}.5,red,{'good' if n % 2 else 'bad'}" for n in range(20))]
    (place / "rows.csv").write_text("\n".join(lines) + "\n")
    settings = DataSettings.model_validate(
        {
            "sources": [{"name": "files", "format": "csv", "path": str(place / "rows.csv")}],
            "label": "outcome",
            "contract": {"columns": {"amount": {"max": 100}}},
        }
    )
    folder = Home(place / "home").pipeline("credit")
    folder.root.mkdir(parents=True)
    return Growing(folder, settings, FakeClock())


def predicted(id: str, second: int, amount: object = 1.0) -> PredictionRecord:
    inputs = json.dumps({"amount": amount, "colour": "blue"})
    return PredictionRecord(id, NOON + timedelta(seconds=second), "v1", "champion", inputs, "bad", (0.6, 0.4))


def labelled(id: str, label: Answer = "good", second: int = 60) -> LabelRecord:
    return LabelRecord(id, label, NOON + timedelta(seconds=second))


def test_labelled_live_rows_join_those_of_the_sources(growing: Growing) -> None:
    growing.capture(predicted("a", 1), predicted("b", 2), predicted("unlabelled", 3))
    growing.capture(labelled("a"), labelled("b", "bad"), labelled("unknown"))
    version = growing.grow()
    assert (version.n_rows, version.parent, is_grown(version)) == (22, growing.base.id, True)
    assert not is_grown(growing.base)
    assert [(one.source, one.n_rows) for one in version.fragments] == [("files", 20), (ENDPOINT, 2)]
    rows = read_grown(growing.folder, version)
    assert rows[ID_COLUMN].null_count == 20
    live = [row for row in rows.to_pylist() if row[ID_COLUMN] is not None]
    assert [(row[ID_COLUMN], row["outcome"], row["colour"]) for row in live] == [
        ("a", "good", "blue"),
        ("b", "bad", "blue"),
    ]
    assert live_ids(growing.folder, version) == {"a", "b"}
    assert live_ids(growing.folder, growing.base) == frozenset()
    assert read_rows(growing.folder, growing.base).num_rows == 20


def test_each_prediction_joins_once_with_its_last_label(growing: Growing) -> None:
    growing.capture(predicted("a", 1), predicted("a", 1), labelled("a", "bad", 10), labelled("a", "good", 20))
    rows = read_grown(growing.folder, growing.grow()).to_pylist()
    assert [row["outcome"] for row in rows if row[ID_COLUMN] == "a"] == ["good"]


def test_equal_content_is_one_version_and_a_corrected_label_another(growing: Growing) -> None:
    growing.capture(predicted("a", 1), labelled("a", "bad"))
    first, again = growing.grow(), growing.grow()
    assert again is first
    growing.capture(labelled("a", "good", 90))
    corrected = growing.grow()
    assert corrected.id != first.id
    assert first.table_version != corrected.table_version
    assert read_grown(growing.folder, first)["outcome"].to_pylist()[-1] == "bad"


def test_a_later_version_knows_what_an_earlier_one_held(growing: Growing) -> None:
    growing.capture(predicted("a", 1), labelled("a"))
    first = growing.grow()
    growing.capture(predicted("b", 2), labelled("b"))
    second = growing.grow()
    assert live_ids(growing.folder, second) - live_ids(growing.folder, first) == {"b"}


def test_live_rows_that_break_the_contract_stay_out(growing: Growing) -> None:
    growing.capture(predicted("a", 1), predicted("far", 2, 1_000.0), labelled("a"), labelled("far"))
    assert live_ids(growing.folder, growing.grow()) == {"a"}


def test_what_would_stop_a_batch_sets_a_live_row_aside(growing: Growing) -> None:
    stop = {
        "columns": {"amount": {"max": 100, "on_violation": "stop"}},
        "rows": [{"must": "amount <> 7", "on_violation": "stop"}],
        "unique": [{"by": "amount", "on_violation": "stop"}],
    }
    growing.settings = growing.settings.model_copy(update={"contract": ContractSettings.model_validate(stop)})
    amounts = {"far": 500.0, "odd": 7.0, "again": 3.5, "new": 77.0, "twice": 77.0}
    for second, (id, amount) in enumerate(amounts.items()):
        growing.capture(predicted(id, second, amount), labelled(id))
    version = growing.grow()
    assert live_ids(growing.folder, version) == {"new"}
    aside = read_quarantine(growing.folder, version)
    assert {row["value"]: row["rule"] for row in aside.to_pylist()} == {
        "500.0": "must be <= 100",
        "7.0": "must be amount <> 7",
        "3.5": "must be unique",
        "77.0": "must be unique",
    }
    assert len(set(aside["id"].to_pylist())) == 4


def test_a_redacted_column_is_null_in_live_rows_and_breaks_no_rule(growing: Growing) -> None:
    """Whether a row was captured before the column was redacted or after."""
    growing.capture(predicted("raw", 1, 1_000.0), predicted("hashed", 2, {"hash": "5f"}))
    growing.capture(labelled("raw"), labelled("hashed"))
    version = growing.grow("amount")
    rows = {row[ID_COLUMN]: row for row in read_grown(growing.folder, version).to_pylist() if row[ID_COLUMN]}
    assert {id: row["amount"] for id, row in rows.items()} == {"raw": None, "hashed": None}
    assert version.broken == ()
    assert live_ids(growing.folder, growing.grow()) == {"hashed"}


def test_what_requests_left_out_is_null(growing: Growing) -> None:
    growing.capture(predicted("a", 1, None), labelled("a"))
    [row] = [row for row in read_grown(growing.folder, growing.grow()).to_pylist() if row[ID_COLUMN]]
    assert row["amount"] is None


def test_without_labels_there_is_nothing_to_grow_by(growing: Growing) -> None:
    with pytest.raises(DataError, match="no captured row of credit has a label yet"):
        growing.grow()
    growing.capture(predicted("a", 1))
    with pytest.raises(DataError, match="send labels by prediction id"):
        growing.grow()


def test_a_grown_version_is_learned_from_in_files_as_it_is_in_memory(growing: Growing) -> None:
    known = growing.base
    for n in range(30):
        label: Answer = "good" if n % 3 else "bad"
        growing.capture(predicted(f"p{n}", 60 - n, n / 2), labelled(f"p{n}", label))
        known = growing.grow() if n == 4 else known
    version = growing.grow()
    held, stored = (
        prepared_grown(
            growing.folder,
            version,
            known=known,
            max_rows=6,
            data=growing.settings,
            processing=ProcessingSettings.model_validate(
                {"in_memory_cells": cells, "deduplicate": {"by": ["amount"]}}
            ),
            training=TrainingSettings(),
        )
        for cells in (10**9, 0)
    )
    assert isinstance(stored.split.test, StoredRows) and held.split.test.num_rows == 5
    for mine, theirs in zip(held.split.parts, stored.split.parts, strict=True):
        assert mine.take(np.arange(mine.num_rows)).equals(theirs.take(np.arange(theirs.num_rows)))
    assert held.split.boundaries == stored.split.boundaries
    assert held.transform.to_json() == stored.transform.to_json()
    assert held.profile.to_json() == stored.profile.to_json()
