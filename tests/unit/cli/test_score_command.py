from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from raypipe.config.load import load_config
from raypipe.core.errors import UnknownVersion
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version


@pytest.fixture
def tiny(config: Path) -> Path:
    loaded = load_config(config)
    loaded.root.prepare()
    register_tiny_version(Registry(loaded.root.registry_url, FakeClock()), loaded.folder)
    (config.parent / "rows.jsonl").write_text(
        '{"size": 1, "colour": "red", "member": true, "id": "a"}\n{"size": 2}\n'
    )
    return config


def test_score_writes_a_folder_and_says_what_it_did(tiny: Path, command: Callable[..., Any]) -> None:
    rows, out = str(tiny.parent / "rows.jsonl"), tiny.parent / "out"
    arguments = ("score", str(tiny), rows, "--to", str(out), "--version", "v1", "--keep", "id")
    told = command(*arguments, "--json").json
    assert told == {
        "output": str(out),
        "version": "v1",
        "n_rows": 2,
        "n_scored": 1,
        "n_rejected": 1,
        "n_parts": 1,
        "n_before": 0,
        "n_removed": 0,
    }
    assert parquet.read_table(out)["id"].to_pylist() == ["a"]
    assert command(*arguments).text.splitlines() == [
        f"v1 scored 1 rows into {out}",
        "1 of 1 parts were there before",
        f"1 rows were refused: see {out / '_rejected'}",
    ]


def test_score_needs_a_version_that_is_there(tiny: Path, command: Callable[..., Any]) -> None:
    rows, out = str(tiny.parent / "rows.jsonl"), str(tiny.parent / "out")
    with pytest.raises(UnknownVersion, match="credit has no champion yet"):
        command("score", str(tiny), rows, "--to", out)
    with pytest.raises(UnknownVersion, match="v7"):
        command("score", str(tiny), rows, "--to", out, "--version", "v7")


def test_scores_go_to_a_sink_with_the_rows_that_have_none(tiny: Path, config: Path) -> None:
    from raypipe.api.scoring import job_of, score_to_sink
    from raypipe.serving.batch.places import Place

    written: list[dict[str, object]] = []

    class Sink:
        def write(self, rows: Any) -> None:
            written.extend(rows.to_pylist())

    loaded = load_config(config)
    registry = Registry(loaded.root.registry_url, FakeClock())
    job = job_of(loaded, registry, Place(str(tiny.parent / "rows.jsonl")), "v1", ("id",))
    done = score_to_sink(job, Sink())
    assert (done.n_scored, done.n_rejected) == (1, 1)
    assert (written[0]["id"], written[0]["prediction"]) == ("a", "good")
    assert (
        written[1]["error"]
        == "colour is missing; it must be text.; member is missing; it must be true or false."
    )
    assert json.loads(str(written[1]["received"])) == {"size": 2}
