"""Erasing people: nothing of theirs is left, all else stays to the bit, a kill anywhere is gone on with."""

from __future__ import annotations

import gzip
import json
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyarrow import parquet

from raypipe.core.errors import ConfigError, DataError, StorageError
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once, read_labels, read_predictions
from raypipe.data.config import RetentionSettings
from raypipe.data.erasure.erase import ERASED, Erased, Inspect, erase
from raypipe.data.erasure.people import PREDICTION, Key, key_of
from raypipe.data.erasure.rows import Theirs
from raypipe.data.fragments import read_quarantine
from raypipe.data.profiles import version_profile
from raypipe.data.retention import collect_garbage
from raypipe.data.versions import DataVersion
from raypipe.data.wal import WalWriter
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold import Fold
from raypipe.testing.data import Lake, SourceInMemory
from raypipe.training.kept import open_run

MARK = "anna-1f3c@example.org"
RULES = {"columns": {"x": {"max": 100}}, "max_bad_ratio": 1}


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def rows(mails: Sequence[str], first: int = 0) -> pa.Table:
    """Return rows numbered from `first`; every third one breaks the contract."""
    numbers = range(first, first + len(mails))
    return pa.table(
        {
            "x": [number + 1000 * (number % 3 == 2) for number in numbers],
            "mail": list(mails),
            "note": [f"written by {mail}" for mail in mails],
            "y": [1] * len(mails),
        }
    )


def run(
    lake: Lake,
    *keys: str,
    ids: Sequence[str] = (),
    dry_run: bool = False,
    inspect: Inspect = lambda _, __: {},
    on_step: Callable[[str], None] = lambda _: None,
) -> Erased:
    return erase(
        lake.folder,
        lake.versions,
        [*map(key_of, keys), *(Key(PREDICTION, id) for id in ids)],
        reason="asked on paper",
        secret="s" * 64,
        inspect=inspect,
        clock=lake.clock,
        dry_run=dry_run,
        on_step=on_step,
    )


def capture(lake: Lake, stream: str, answers: Mapping[str, str], *, commit: bool = True) -> None:
    """Capture an answer to each id with the mail of who asked, and a label for it."""
    writer = WalWriter(lake.folder.wal, stream, lake.clock)
    writer.open()
    for number, (id, mail) in enumerate(answers.items()):
        at = lake.clock.now() + timedelta(seconds=number)
        inputs = json.dumps({"x": number, "mail": mail, "note": f"for {mail}"})
        writer.append(encode(PredictionRecord(id, at, "v1", "champion", inputs, 1)))
        writer.append(encode(LabelRecord(id, 1, at)))
    writer.close()
    if commit:
        commit_once(lake.folder)


def found_in(root: Path, mark: str) -> list[str]:
    """Return the files that hold a text: as it is, or inside Parquet or what is compressed with gzip."""
    found = []
    for path in sorted(one for one in root.rglob("*") if one.is_file()):
        texts = [path.read_bytes()]
        if path.suffix == ".parquet":
            texts.append(repr(parquet.read_table(path).to_pydict()).encode())
        if path.suffix == ".gz":
            texts.append(gzip.decompress(texts[0]))
        if any(mark.encode() in text for text in texts):
            found.append(str(path.relative_to(root)))
    return found


def kept(lake: Lake, version: DataVersion) -> pa.Table:
    (now,) = [one for one in lake.versions.all() if one.id == version.id]
    return lake.rows(now)


def without(table: pa.Table, mail: str = MARK) -> pa.Table:
    return table.filter(pa.array([one != mail for one in table["mail"].to_pylist()]))


def fold(lake: Lake) -> None:
    Fold(lake.folder, MonitoringSettings()).follow()


def test_the_rows_go_from_every_version_that_holds_them_and_others_stay(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK, "b", MARK, "c"]), rows(["d", "e"], 4)])
    first = lake.ingest(source, contract=RULES)
    source.tables.append(rows(["f", MARK], 6))
    second = lake.ingest(source, contract=RULES)
    source.tables = source.tables[1:2]
    third = lake.ingest(source, contract=RULES)
    before = {one.id: lake.rows(one) for one in (first, second, third)}
    version_profile(lake.folder, second)

    def inspect(version: str, theirs: Callable[[], Theirs]) -> dict[str, tuple[str, ...]]:
        assert theirs().rows["mail"].to_pylist() == [MARK] * len(theirs().rows) != []
        assert theirs().texts == {MARK, f"written by {MARK}"}
        return {first.id: {"v1": ("golden.json",)}, second.id: {"v2": ()}}[version]

    found = run(lake, f"mail={MARK}", inspect=inspect)
    assert (found.counts.n_rows, found.counts.n_quarantined) == (2, 1)
    assert found.counts.versions == {second.id: 2, first.id: 1}
    assert found.models == {"v2": (), "v1": ("golden.json",)}
    for id, table in before.items():
        (now,) = [one for one in lake.versions.all() if one.id == id]
        assert lake.rows(now) == without(table)
        assert now.n_rows == without(table).num_rows
        assert version_profile(lake.folder, now).n_rows == now.n_rows
        assert sum(one.n_kept for one in now.fragments) == now.n_rows
        assert MARK not in read_quarantine(lake.folder, now)["row"].to_pylist()
    third_now, second_now, first_now = lake.versions.all()
    assert [one.state for one in (first_now, second_now, third_now)] == ["erased", "erased", ""]
    (mark,) = second_now.erased
    assert (mark.id, mark.n_rows, mark.reason) == (found.id, 2, "asked on paper")
    assert (second_now.content, third_now.content) == (f"{second.id}+{found.id}", third.id)
    assert second_now.n_erased == 2
    assert found_in(lake.folder.root, MARK) == []


def test_what_is_recorded_tells_how_much_and_not_who(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [rows([MARK, "b"])]))
    found = run(lake, f"mail={MARK}", inspect=lambda _, __: {"v1": ("golden.json",)})
    (change,) = lake.versions.changes
    assert (change.kind, change.subject) == (ERASED, found.id)
    assert change.detail == {
        "reason": "asked on paper",
        "versions": {version.id: 1},
        "n_rows": 1,
        "n_quarantined": 0,
        "n_predictions": 0,
        "n_labels": 0,
        "models": {"v1": ["golden.json"]},
    }
    assert stat.S_IMODE(lake.folder.erasure_key.stat().st_mode) == 0o600
    assert not lake.folder.erasing.exists()


def test_delta_opens_each_version_at_its_own_table_version_and_no_older_one(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK, "b"])])
    lake.ingest(source)
    source.tables.append(rows(["c"], 2))
    lake.ingest(source)
    old = DeltaTable(str(lake.folder.rows)).version()
    run(lake, f"mail={MARK}")
    second, first = lake.versions.all()
    for version, mails in ((first, ["b"]), (second, ["b", "c"])):
        table = DeltaTable(str(lake.folder.rows), version=version.table_version)
        assert sorted(table.to_pyarrow_table()["mail"].to_pylist()) == mails
    assert DeltaTable(str(lake.folder.rows)).version() == second.table_version
    with pytest.raises(FileNotFoundError):
        DeltaTable(str(lake.folder.rows), version=old).to_pyarrow_table()


def test_erased_people_do_not_come_back_and_known_pieces_are_not_read_again(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK, "b"]), rows(["c"], 2)])
    lake.ingest(source)
    run(lake, f"mail={MARK}")
    again = lake.ingest(source)
    assert (source.was_read, again.state) == ([], "erased")
    source.tables.append(rows([MARK, "d", MARK, MARK], 3))
    grown = lake.ingest(source, contract=RULES)
    assert source.was_read == ["s 0", "s 1", "s 2"]
    assert [one.n_erased for one in grown.fragments] == [1, 0, 3]
    assert [one.n_rows for one in grown.fragments] == [2, 1, 4]
    assert grown.n_erased == 4
    assert lake.rows(grown)["mail"].to_pylist() == ["b", "d"]
    assert found_in(lake.folder.root, MARK) == []


def test_an_appended_source_goes_on_where_it_was(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK]), rows(["b", MARK], 1)], is_appended=True)
    lake.ingest(source)
    run(lake, f"mail={MARK}")
    source.tables.append(rows(["c", MARK], 3))
    grown = lake.ingest(source)
    assert source.was_read == ["s 2"]
    assert lake.rows(grown)["mail"].to_pylist() == ["b", "c"]
    assert found_in(lake.folder.root, MARK) == []


def test_small_fragments_that_merge_later_count_what_was_erased(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK if n % 7 == 0 else f"m{n}"], 3 * n) for n in range(60)])
    lake.ingest(source)
    run(lake, f"mail={MARK}")
    source.tables += [rows([f"n{n}"], 3 * n) for n in range(10)]
    merged = lake.ingest(source)
    assert len(merged.fragments) == 1 and merged.n_erased == 9
    assert merged.n_rows == 61 == lake.rows(merged).num_rows
    assert sum(one.n_rows for one in merged.fragments) == 70


def test_a_version_of_nobody_else_is_empty_and_can_be_read(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [rows([MARK])]))
    run(lake, f"mail={MARK}")
    (now,) = lake.versions.all()
    assert (now.n_rows, kept(lake, version).num_rows) == (0, 0)
    assert version_profile(lake.folder, now).n_rows == 0


def test_times_of_erased_rows_are_not_kept_as_ends(lake: Lake) -> None:
    at = [lake.clock.now() + timedelta(days=day) for day in range(3)]
    table = rows([MARK, "b", "c"]).append_column("when", pa.array(at, pa.timestamp("us", "UTC")))
    lake.ingest(SourceInMemory("s", [table]), time="when", contract={"columns": {}})
    run(lake, f"mail={MARK}")
    (fragment,) = lake.versions.all()[0].fragments
    assert (fragment.since, fragment.until) == (at[1], at[2])


def test_captured_rows_go_with_their_labels_and_what_was_folded(lake: Lake) -> None:
    capture(lake, "r1", {"p1": MARK, "p2": "b"})
    capture(lake, "r2", {"p3": "c", "p4": MARK}, commit=False)
    fold(lake)
    assert found_in(lake.folder.root, MARK) != []
    found = run(lake, f"mail={MARK}")
    assert (found.counts.n_predictions, found.counts.n_labels) == (2, 2)
    assert read_predictions(lake.folder)["id"].to_pylist() == ["p2", "p3"]
    assert read_labels(lake.folder)["prediction_id"].to_pylist() == ["p2", "p3"]
    assert found_in(lake.folder.root, MARK) == []
    fold(lake)
    assert found_in(lake.folder.root, "for b") != []


def test_a_prediction_is_erased_by_its_id(lake: Lake) -> None:
    capture(lake, "r1", {"p1": MARK, "p2": MARK})
    found = run(lake, ids=["p1"])
    assert (found.counts.n_predictions, found.counts.n_labels) == (1, 1)
    assert read_predictions(lake.folder)["id"].to_pylist() == ["p2"]


def test_a_segment_that_cannot_be_read_goes_as_nobody_can_tell_whose_it_is(lake: Lake) -> None:
    capture(lake, "r1", {"p1": "b", "p2": MARK}, commit=False)
    (segment,) = lake.folder.wal.glob("r1/*.sealed")
    data = bytearray(segment.read_bytes())
    data[20] ^= 0xFF
    segment.write_bytes(bytes(data))
    found = run(lake, f"mail={MARK}")
    assert found.n_damaged == 1
    assert found_in(lake.folder.root, MARK) == []


def test_a_replica_that_keeps_what_it_captured_is_waited_for_and_then_named(lake: Lake) -> None:
    lake.ingest(SourceInMemory("s", [rows(["b"])]))
    writer = WalWriter(lake.folder.wal, "r1", lake.clock)
    writer.open()
    at = lake.clock.now()
    writer.append(encode(PredictionRecord("p", at, "v1", "champion", json.dumps({"mail": MARK}), 1)))
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            writer.seal()

    def begin(pause: Callable[[float], None]) -> Erased:
        key = key_of(f"mail={MARK}")
        return erase(
            lake.folder,
            lake.versions,
            [key],
            reason="",
            secret="s" * 64,
            inspect=lambda _, __: {},
            clock=lake.clock,
            pause=pause,
        )

    assert begin(wait).counts.n_predictions == 1
    writer.append(encode(PredictionRecord("q", at, "v1", "champion", "{}", 1)))
    with pytest.raises(StorageError, match=r"was not handed over; end the endpoint with `raypipe down`"):
        begin(lambda _: None)
    writer.close()


def test_a_dry_run_counts_the_same_and_changes_nothing(lake: Lake) -> None:
    lake.ingest(SourceInMemory("s", [rows([MARK, "b", MARK])]), contract=RULES)
    capture(lake, "r1", {"p1": MARK})
    before = {path: path.read_bytes() for path in lake.folder.root.rglob("*") if path.is_file()}
    told = run(lake, f"mail={MARK}", dry_run=True)
    assert {path: path.read_bytes() for path in lake.folder.root.rglob("*") if path.is_file()} == before
    done = run(lake, f"mail={MARK}")
    assert (told.counts, told.id, told.is_dry) == (done.counts, None, True)


def test_where_nobody_is_found_nothing_changes(lake: Lake) -> None:
    lake.ingest(SourceInMemory("s", [rows(["b"])]))
    found = run(lake, f"mail={MARK}")
    assert (found.id, found.counts.is_nothing) == (None, True)
    assert not lake.folder.erased.exists() and lake.versions.changes == []


def test_what_a_kill_left_of_a_profile_goes(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [rows([MARK, "b"])]))
    path = lake.folder.fragment_profile(version.fragments[0].id)
    path.with_name(f".{path.name}.123.tmp").write_text(MARK)
    run(lake, f"mail={MARK}")
    assert found_in(lake.folder.root, MARK) == []


def test_two_erasures_are_told_apart(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK, "b", "c"])])
    lake.ingest(source, contract={"columns": {}})
    one = run(lake, f"mail={MARK}")
    lake.clock.advance(60)
    two = run(lake, "mail=b")
    (now,) = lake.versions.all()
    assert [(mark.id, mark.n_rows) for mark in now.erased] == [(one.id, 1), (two.id, 1)]
    source.tables.append(rows([MARK, "b", "d"], 3))
    assert lake.rows(lake.ingest(source))["mail"].to_pylist() == ["c", "d"]


def test_a_key_must_name_a_column(lake: Lake) -> None:
    lake.ingest(SourceInMemory("s", [rows(["b"])]))
    with pytest.raises(ConfigError, match=r"must name a column. Got 'mial'; did you mean 'mail'\?"):
        run(lake, "mial=b")
    with pytest.raises(ConfigError, match="name whose rows to erase"):
        run(lake)


def test_without_the_key_of_the_hashes_nothing_is_let_in(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK, "b"])])
    lake.ingest(source)
    run(lake, f"mail={MARK}")
    lake.folder.erasure_key.unlink()
    with pytest.raises(StorageError, match="by which rows of erased people are recognised"):
        lake.ingest(source)


def test_a_removed_version_that_is_made_again_is_without_them(lake: Lake) -> None:
    old = SourceInMemory("s", [rows([MARK, "b"])])
    first = lake.ingest(old)
    run(lake, f"mail={MARK}")
    lake.clock.advance(60)
    lake.ingest(SourceInMemory("s", [rows(["c"])]))
    collect_garbage(lake.folder, lake.versions, RetentionSettings(keep_last=1), dict, clock=lake.clock)
    again = lake.ingest(old)
    assert again.id == first.id
    assert kept(lake, again)["mail"].to_pylist() == ["b"]


MAILS = st.lists(st.sampled_from([MARK, "b", "c"]), min_size=1, max_size=5)


@examples(max_examples=8)
@given(pieces=st.lists(MAILS, min_size=1, max_size=4), answers=MAILS, left=st.integers(0, 3))
def test_no_file_holds_them_and_all_else_is_equal_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[str]], answers: list[str], left: int
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    source = SourceInMemory("s")
    made = []
    for number, mails in enumerate(pieces):
        source.tables.append(rows([*mails, "z"], 10 * number))
        made.append(lake.ingest(source, contract=RULES))
    source.tables = source.tables[left:] or source.tables
    made.append(lake.ingest(source, contract=RULES))
    capture(lake, "r1", {f"p{number}": mail for number, mail in enumerate(answers)})
    fold(lake)
    before = {one.id: lake.rows(one) for one in made}
    captured = read_predictions(lake.folder)
    run(lake, f"mail={MARK}")
    assert found_in(lake.folder.root, MARK) == []
    for version in made:
        assert kept(lake, version) == without(before[version.id])
    stay = pa.array([mail != MARK for mail in answers])
    assert read_predictions(lake.folder) == captured.filter(stay)
    lake.ingest(source, contract=RULES)
    assert source.was_read == []


def prepared(place: Path) -> tuple[Lake, SourceInMemory, list[DataVersion]]:
    lake = Lake(place)
    source = SourceInMemory("s", [rows([MARK, "b", MARK]), rows(["c", MARK], 3)])
    made = [lake.ingest(source, contract=RULES)]
    source.tables.append(rows(["d"], 6))
    made.append(lake.ingest(source, contract=RULES))
    capture(lake, "r1", {"p1": MARK, "p2": "b"})
    fold(lake)
    return lake, source, made


def copy_of(lake: Lake, place: Path) -> Lake:
    """Return the same lake in another place."""
    shutil.copytree(lake.folder.root.parent, place)
    copy = Lake(place)
    copy.versions = deepcopy(lake.versions)
    return copy


@pytest.mark.parametrize(
    "by", [("ingest", "erase"), pytest.param(("erase", "ingest"), marks=pytest.mark.slow)]
)
def test_killed_between_any_two_steps_whoever_comes_next_finishes(
    tmp_path: Path, by: tuple[str, str]
) -> None:
    whole, source, made = prepared(tmp_path / "whole")
    before = {one.id: whole.rows(one) for one in made}
    told: list[str] = []
    run(copy_of(whole, tmp_path / "told"), f"mail={MARK}", on_step=told.append)
    assert told[0] == "intent kept" and told[-1] == "intent removed"
    for at in range(len(told) - 1):
        lake = copy_of(whole, tmp_path / f"{at}")
        with suppress(Killed):
            run(lake, f"mail={MARK}", on_step=dies_at(at))
        for version in lake.versions.all():
            assert lake.rows(version).num_rows == version.n_rows
        if by[at % 2] == "ingest":
            lake.ingest(source, contract=RULES)
            assert source.was_read == []
        else:
            assert run(lake, f"mail={MARK}").counts.is_nothing
        assert found_in(lake.folder.root, MARK) == [], told[at]
        for version in made:
            assert kept(lake, version) == without(before[version.id])
        assert [len(one.erased) for one in lake.versions.all()] == [1, 1]
        assert [one.kind for one in lake.versions.changes] == [ERASED]
        assert read_predictions(lake.folder)["id"].to_pylist() == ["p2"]
        assert not lake.folder.erasing.exists()
        lake.ingest(SourceInMemory("s", [rows([MARK, "e"])]), contract=RULES)
        assert found_in(lake.folder.root, MARK) == []


def dies_at(step: int) -> Callable[[str], None]:
    """Return what ends the process once a step is done; the first is step 0."""
    n_left = step

    def die(_: str) -> None:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise Killed

    return die


def test_what_runs_keep_of_a_version_that_lost_rows_goes_unless_one_is_under_way(lake: Lake) -> None:
    source = SourceInMemory("s", [rows([MARK, "b"])])
    first = lake.ingest(source)
    source.tables = [rows(["c"])]
    second = lake.ingest(source)
    runs = lake.folder.runs
    for run_id, version in (("r-1", first), ("r-2", first), ("r-3", second)):
        with open_run(runs / run_id, content="c", data=version.id) as kept_run:
            kept_run.keep("judge", MARK if version is first else "c")
    (lake.folder.staging / "r-1").mkdir(parents=True)
    (lake.folder.staging / "r-1" / "golden.json").write_text(MARK)
    with open_run(runs / "r-2", content="c", data=first.id):
        run(lake, f"mail={MARK}")
        assert sorted(path.name for path in runs.iterdir()) == ["r-2", "r-3"]
    assert found_in(lake.folder.root, MARK) == [str(Path("runs/r-2/judge.json"))]


def test_a_version_read_before_is_refused_by_name_not_half_read(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [rows([MARK, "b"])]))
    run(lake, f"mail={MARK}")
    with pytest.raises(DataError, match="cannot be read, they were removed or damaged"):
        lake.rows(version)
