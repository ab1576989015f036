"""`raypipe data erase`: what it says, and that it erases only when told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import raypipe
from raypipe.config.load import load_config
from raypipe.core.errors import ConfigError
from raypipe.data.versions import Change, Erasure
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

Command = Callable[..., Any]
ANN = "ann@example.org"


@pytest.fixture
def people(config: Path) -> Path:
    """Return the config of a pipeline with a version of three rows, two of them Ann's, and v1."""
    files = config.parent / "rows"
    files.mkdir()
    (files / "a.csv").write_text(f"id,mail,group\n1,{ANN},x\n2,bob@example.org,y\n3,{ANN},x\n")
    pipeline = raypipe.load(config)
    version = pipeline.ingest()
    staged = pipeline.config.folder.staging / "r-1"
    staged.mkdir(parents=True)
    row = {"id": 3, "mail": ANN, "group": "x"}
    (staged / "golden.json").write_text(json.dumps({"rows": [row], "answers": [0.5]}))
    (staged / "transform.json").write_text(json.dumps({"categories": [ANN, "bob@example.org"]}))
    draft = ManifestDraft("credit", version.id, "r-1", {}, "linear", "json", {}, {}, {})
    pipeline.registry.register("credit", staged, pipeline.config.folder.models, draft)
    return config


def test_it_says_what_would_go_until_it_is_told_yes(people: Path, command: Command) -> None:
    data = raypipe.load(people).data
    id = data.version().id
    lines = command("data", "erase", str(people), "--key", f"mail={ANN}").text.splitlines()
    assert lines[:3] == [
        f"{id}: 2 rows would be erased",
        "would be erased: 2 rows of data versions, 0 quarantine entries, 0 captured predictions, 0 labels",
        "v1 learned from such rows; some are in its golden.json, transform.json",
    ]
    assert lines[-1] == "nothing was erased; --yes --reason TEXT erases, and it cannot be undone."
    assert data.rows().num_rows == 3
    asked = ("--key", f"mail={ANN}", "--reason", "asked on paper", "--yes")
    lines = command("data", "erase", str(people), *asked).text.splitlines()
    assert lines[0] == f"{id}: 2 rows erased"
    assert lines[-1].startswith("not reached from here: source files, pages of `data explore`")
    assert data.rows().to_pydict()["id"] == [2]
    assert "erased" in command("data", "log", str(people)).text.splitlines()[-1]
    shown = command("data", "show", id, str(people)).text
    assert "erased: 2 rows of people on" in shown and "asked on paper" in shown and ANN not in shown
    history = command("history", str(people)).text
    assert "data_erased" in history and ANN not in history
    assert raypipe.load(people).ingest().id == id
    assert command("data", "erase", str(people), "--key", f"mail={ANN}").text.splitlines() == [
        "no row has such a key: not in a data version, the quarantine, or what was captured."
    ]


def test_keys_come_from_a_file_or_standard_input(people: Path, command: Command) -> None:
    file = people.parent / "keys.txt"
    file.write_text(f"mail={ANN}\nid=2\n")
    found = command("data", "erase", str(people), "--keys", str(file), "--json").json
    assert (found["n_rows"], found["is_dry"], found["id"]) == (3, True, None)
    found = command("data", "erase", str(people), "--keys", "-", "--json", stdin="id=1\n").json
    assert (found["n_rows"], found["models"]) == (1, {"v1": []})


def test_an_erasure_without_a_reason_is_refused(people: Path, command: Command) -> None:
    with pytest.raises(ConfigError, match="--yes needs a --reason"):
        command("data", "erase", str(people), "--key", "id=1", "--yes")


def test_a_file_that_is_not_there_is_named(people: Path, command: Command) -> None:
    with pytest.raises(ConfigError, match=r"--keys cannot be read as a file of text: .*nowhere.txt"):
        command("data", "erase", str(people), "--keys", str(people.parent / "nowhere.txt"))


def test_a_model_that_learned_from_erased_rows_says_so(credit: Path, command: Command) -> None:
    loaded = load_config(credit)
    registry = Registry(loaded.root.registry_url, FakeClock())
    made = registry.model_version("credit", "v1").created_at
    marks = (
        Erasure("e-0", made - timedelta(days=1), 5, "before it learned"),
        Erasure("e-1", made + timedelta(days=1), 3, "asked on paper"),
        Erasure("e-2", made + timedelta(days=2), 0, "quarantined rows alone"),
    )
    (data,) = registry.data_versions("credit")
    registry.change_data("credit", Change("data_erased", "e-1", {}, (replace(data, erased=marks),)))
    shown = command("models", "show", "v1", str(credit)).text
    assert "learned from 3 rows of people that were erased on" in shown and "asked on paper" in shown
    assert "before it learned" not in shown and "quarantined rows alone" not in shown
    found = command("models", "show", "v1", str(credit), "--json").json
    assert [one["id"] for one in found["erased_since"]] == ["e-1"]
