from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.core.errors import ConfigError, RunUnderWay, SchemaError, StorageError
from raypipe.core.progress import Step
from raypipe.data.locks import try_lock
from raypipe.serving.batch.job import NumberedPiece, ScoreJob
from raypipe.serving.batch.places import Place
from raypipe.serving.batch.run import Compute, Made, Scored, here, list_pieces, score

MakeJob = Callable[..., ScoreJob]
N_ROWS, N_BAD = 18, 4
GOOD = [size for size in range(N_ROWS) if size not in (1, 4, 8, 13)]


def run(job: ScoreJob, output: Path, compute: Compute = here) -> Scored:
    return score(job, list_pieces(job, output), output, compute)


def scores(output: Path) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = parquet.read_table(output).to_pylist()
    return found


def rejected(output: Path) -> Sequence[Mapping[str, object]]:
    files = sorted((output / "_rejected").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


class Died(Exception):
    pass


def dies_after(n_pieces: int) -> Callable[..., Iterator[Made]]:
    def compute(job: ScoreJob, pieces: Sequence[NumberedPiece], output: Path) -> Iterator[Made]:
        yield from islice(here(job, pieces, output), n_pieces)
        raise Died

    return compute


def test_each_row_is_scored_or_refused_once_and_in_order(job: MakeJob, files: Path, tmp_path: Path) -> None:
    done = run(job(files, "size"), tmp_path / "out")
    assert (done.n_rows, done.n_scored, done.n_rejected) == (N_ROWS, N_ROWS - N_BAD, N_BAD)
    found = scores(tmp_path / "out")
    assert [row["size"] for row in found] == GOOD
    assert found[0] == {
        "size": 0,
        "prediction": "good",
        "probability_bad": 0.25,
        "probability_good": 0.75,
        "version": "v1",
    }
    bad = rejected(tmp_path / "out")
    assert [row["row"] for row in bad] == [1, 1, 1, 1]
    assert bad[0]["errors"] == [{"column": "colour", "message": "colour is missing; it must be text."}]
    assert bad[0]["received"] == {"size": 1, "colour": None, "member": True}


@pytest.mark.parametrize("n_done", range(5))
def test_a_job_that_died_does_only_what_is_missing(
    job: MakeJob, files: Path, tmp_path: Path, n_done: int
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = run(job(files, "size"), whole)
    with pytest.raises(Died):
        run(job(files, "size"), broken, dies_after(n_done))
    assert json.loads((broken / "_manifest.json").read_text())["is_complete"] is False
    told: list[Step] = []
    listed = list_pieces(job(files, "size"), broken)
    assert len(listed.missing) == 4 - n_done
    done = score(job(files, "size"), listed, broken, progress=told.append)
    assert (done.n_before, done.parts) == (n_done, expected.parts)
    assert {path.name: path.read_bytes() for path in broken.rglob("*") if path.is_file()} == {
        path.name: path.read_bytes() for path in whole.rglob("*") if path.is_file()
    }
    assert told[-1].done_ratio == 1


def test_the_manifest_says_what_every_part_is(job: MakeJob, files: Path, tmp_path: Path) -> None:
    run(job(files), tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert (manifest["is_complete"], manifest["version"], manifest["n_rows"]) == (True, "v1", N_ROWS)
    assert [Path(part["piece"]).name for part in manifest["parts"]] == [f"{n}.parquet" for n in range(4)]
    for part in manifest["parts"]:
        assert sha256((tmp_path / "out" / part["file"]).read_bytes()).hexdigest() == part["sha256"]


def test_a_file_that_changed_is_scored_again_and_its_old_part_goes(
    job: MakeJob, files: Path, tmp_path: Path
) -> None:
    run(job(files, "size"), tmp_path / "out")
    parquet.write_table(pa.table({"size": [7], "colour": ["red"], "member": [False]}), files / "1.parquet")
    done = run(job(files, "size"), tmp_path / "out")
    assert (done.n_before, done.n_removed, done.n_rejected) == (3, 1, N_BAD - 1)
    assert [row["size"] for row in scores(tmp_path / "out")] == [*GOOD[:2], 7, *GOOD[5:]]
    assert len(list((tmp_path / "out" / "_rejected").iterdir())) == 3


def test_a_large_file_is_scored_in_pieces(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raypipe.serving.batch.job.PIECE_ROWS", 30)
    table = pa.table({"size": range(100), "colour": ["red"] * 100, "member": [True] * 100})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=10)
    done = run(job(tmp_path / "rows.parquet", "size"), tmp_path / "out")
    assert [part.n_scored for part in done.parts] == [30, 30, 30, 10]
    assert [row["size"] for row in scores(tmp_path / "out")] == list(range(100))


def test_another_job_does_not_write_into_the_folder(job: MakeJob, files: Path, tmp_path: Path) -> None:
    run(job(files, "size"), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds other scores \(v1, --keep size\): choose another"):
        run(job(files), tmp_path / "out")
    with pytest.raises(ConfigError, match="--to must be a folder of scores, or a new or empty one"):
        run(job(files), files)


def test_two_processes_do_not_write_into_one_folder(job: MakeJob, files: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".part-000000-0123456789ab.parquet.17.tmp").touch()
    lock = try_lock(tmp_path / "out" / ".lock")
    assert lock is not None
    (tmp_path / "out" / "_manifest.json").write_text(
        json.dumps({"job": job(files).id, "version": "v1", "keep": []})
    )
    with pytest.raises(RunUnderWay, match="another process scores into"):
        run(job(files), tmp_path / "out")
    os.close(lock)
    assert run(job(files), tmp_path / "out").n_removed == 0
    assert list((tmp_path / "out").glob("*.tmp")) == []


def test_a_damaged_part_is_told(job: MakeJob, files: Path, tmp_path: Path) -> None:
    done = run(job(files), tmp_path / "out")
    (tmp_path / "out" / done.parts[2].file).write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=r"part-000002-\w+.parquet is no part .* remove it"):
        run(job(files), tmp_path / "out")


def test_columns_that_lack_or_collide_are_told(job: MakeJob, files: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"lack the column 'sise'; did you mean 'size'\?"):
        run(job(files, "sise"), tmp_path / "out")
    with pytest.raises(
        ConfigError, match=r"--keep must name other columns than prediction, .* Got 'version'"
    ):
        run(job(files, "version"), tmp_path / "out2")


def test_a_database_is_read_in_the_order_of_its_cursor(job: MakeJob, tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "rows.db") as connection:
        connection.execute("CREATE TABLE rows (id INTEGER, size INTEGER, colour TEXT, member INTEGER)")
        values = [(i, i % 7, None if i == 40 else "red", i % 2) for i in range(100)]
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", values)
    connection.close()
    place = Place(f"sqlite:///{tmp_path / 'rows.db'}", table="rows", cursor="id")
    done = run(job(place, "id"), tmp_path / "out")
    assert (done.n_scored, done.n_rejected) == (99, 1)
    assert [row["id"] for row in scores(tmp_path / "out")] == [i for i in range(100) if i != 40]
    again = run(job(place, "id"), tmp_path / "out")
    assert again.parts == done.parts


def test_a_delta_table_is_scored(job: MakeJob, files: Path, tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(tmp_path / "table", parquet.read_table(files))
    done = run(job(tmp_path / "table", "size"), tmp_path / "out")
    assert (done.n_scored, done.n_rejected) == (N_ROWS - N_BAD, N_BAD)
    assert sorted(row["size"] for row in scores(tmp_path / "out")) == GOOD
