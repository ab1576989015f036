"""`raypipe models gc`, `remove`, `pin` and `unpin`, as a person sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.config.load import load_config
from raypipe.core.clock import SystemClock
from raypipe.core.errors import RegistryError
from raypipe.registry.store import Registry

Command = Callable[..., Any]


@pytest.fixture
def moved_on(credit: Path) -> str:
    """Return the config of a pipeline whose champion went from v1 to v2, and that keeps one version."""
    loaded = load_config(credit)
    Registry(loaded.root.registry_url, SystemClock()).set_alias("credit", "champion", "v2")
    credit.write_text(credit.read_text() + "registry: {retention: {keep_last: 1}}\n")
    return str(credit)


def test_remove_says_first_and_does_with_yes(moved_on: str, command: Command) -> None:
    with pytest.raises(
        RegistryError, match="v1 of credit must not be removed: a rollback would go back to it"
    ):
        command("models", "remove", "v1", moved_on)
    said = command("models", "remove", "v1", moved_on, "--no-way-back").text.splitlines()
    assert said[0] == "v1 would be removed"
    assert said[1].startswith("would be deleted: 2 files, ")
    assert said[2] == "nothing was removed; --yes removes, and it cannot be undone."
    done = command(
        "models", "remove", "v1", moved_on, "--no-way-back", "--yes", "--reason", "biased", "--json"
    )
    assert (done.json["removed"], done.json["n_files"], done.json["is_dry"]) == (["v1"], 2, False)
    assert not (load_config(moved_on).folder.model("v1")).exists()
    assert command("models", "list", moved_on).text.splitlines()[2].endswith("removed")
    shown = command("models", "show", "v1", moved_on).text
    assert "was removed on " in shown and "UTC: biased; what is left is this record" in shown
    assert "files and card" not in shown
    assert "model_removed" in command("history", moved_on).text


def test_gc_tells_why_versions_stay_and_finishes_what_a_kill_left(moved_on: str, command: Command) -> None:
    kept = command("models", "gc", moved_on, "--dry-run").text.splitlines()
    assert kept == [
        "v2 stays: it is the champion",
        "v1 stays: a rollback would go back to it",
        "would be deleted: 0 files, 0 B",
    ]
    loaded = load_config(moved_on)
    registry = Registry(loaded.root.registry_url, SystemClock())
    registry.remove_models("credit", ["v1"], reason="", as_of=registry.history("credit", 1)[0].seq)
    assert command("models", "gc", moved_on).text.startswith("v2 stays")
    assert [path.name for path in loaded.folder.models.iterdir()] == ["v2"]


def test_a_pin_is_told_where_versions_are(moved_on: str, command: Command) -> None:
    assert command("models", "pin", "v1", moved_on, "--note", "for the audit").text == "v1 is pinned\n"
    assert command("models", "list", moved_on).text.splitlines()[2].endswith("pinned")
    assert "pinned: for the audit" in command("models", "show", "v1", moved_on).text
    with pytest.raises(RegistryError, match=r"it is pinned \(for the audit\)"):
        command("models", "remove", "v1", moved_on, "--no-way-back", "--yes")
    assert command("models", "unpin", "v1", moved_on).text == "v1 is not pinned any more\n"
