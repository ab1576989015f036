"""What an erasure keeps: for good the hashes that rows are refused by, and its own state until it is done.

Neither names a person. The key of the hashes lies in a file of its own, which only this user can read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, storage_errors, write_json
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.core.secret_file import kept_key
from raypipe.data.erasure.people import People


@dataclass(frozen=True)
class Counts:
    """How many rows are, or were, of these people."""

    versions: Mapping[str, int]
    """By data version; only those that hold some."""
    n_rows: int = 0
    """Of the files of data versions, each file once however many versions hold it."""
    n_quarantined: int = 0
    """Entries of the quarantine: a row has one for each rule that it broke."""
    n_predictions: int = 0
    n_labels: int = 0

    @property
    def is_nothing(self) -> bool:
        return not (self.n_rows or self.n_quarantined or self.n_predictions or self.n_labels)

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "versions": dict(self.versions)}


@dataclass(frozen=True)
class Intent:
    """An erasure that has begun: whoever finds it finishes it."""

    id: str
    at: datetime
    reason: str
    people: People
    counts: Counts
    models: Mapping[str, tuple[str, ...]]
    """The models that learned from such rows, each with its files that hold some of them."""
    fragments: tuple[str, ...] = ()
    """Those whose rows are fewer now, once that is recorded."""

    def save(self, folder: PipelineHome) -> None:
        """Keep it until `remove`; once this returns, a power cut does not lose it."""
        write_json(
            folder.erasing,
            {
                "id": self.id,
                "at": self.at.isoformat(),
                "reason": self.reason,
                "people": _digests_json(self.people),
                "counts": self.counts.to_json(),
                "models": {model: list(files) for model, files in self.models.items()},
                "fragments": list(self.fragments),
            },
        )

    def also(self, people: People) -> Intent:
        return replace(self, people=self.people | people)

    @staticmethod
    def remove(folder: PipelineHome) -> None:
        """Forget it, as all is done."""
        with storage_errors(folder.erasing):
            folder.erasing.unlink(missing_ok=True)
            fsync_folder(folder.erasing.parent)


def read_intent(folder: PipelineHome) -> Intent | None:
    """Return the erasure that has begun and is not done; None where there is none."""
    found = _read(folder.erasing)
    if found is None:
        return None
    return Intent(
        found["id"],
        datetime.fromisoformat(found["at"]),
        found["reason"],
        People(_secret(folder), _digests(found["people"])),
        Counts(**found["counts"]),
        {model: tuple(files) for model, files in found["models"].items()},
        tuple(found["fragments"]),
    )


def note_models(folder: PipelineHome, intent: Intent) -> None:
    """Keep which models have files with rows of these people, until they have none, or are removed."""
    found = {model: (intent.id, files) for model, files in intent.models.items() if files}
    if found:
        keep_noted(folder, {**noted_models(folder), **found})


def noted_models(folder: PipelineHome) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return such models, each with the id of the erasure and its files."""
    found = _read(folder.amending) or {}
    return {model: (id, tuple(files)) for model, (id, files) in found.items()}


def keep_noted(folder: PipelineHome, models: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Keep these in their place."""
    if models:
        write_json(folder.amending, {model: [id, list(files)] for model, (id, files) in models.items()})
    else:
        with storage_errors(folder.amending):
            folder.amending.unlink(missing_ok=True)


def erased_people(folder: PipelineHome) -> People | None:
    """Return whose rows are not let in; None where nobody was erased.

    Raises StorageError where the key of their hashes is gone: then nobody could be recognised.
    """
    found = _read(folder.erased)
    return None if found is None else People(_secret(folder), _digests(found))


def refuse_from_now_on(folder: PipelineHome, people: People) -> None:
    """Let no rows of these people in any more, as of none that were erased before."""
    before = erased_people(folder)
    write_json(folder.erased, _digests_json(people if before is None else before | people))


def new_secret(folder: PipelineHome, new: str, owner: str) -> bytes:
    """Return the key of the hashes, or make `new` that key; raises StorageError."""
    return kept_key(folder.erasure_key, new, owner) if not folder.erased.exists() else _secret(folder)


def capture_key(folder: PipelineHome) -> bytes:
    """Return what values of captured rows are hashed with; empty where none are."""
    return folder.capture_key.read_bytes().strip() if folder.capture_key.exists() else b""


def _secret(folder: PipelineHome) -> bytes:
    if not folder.erasure_key.exists():
        raise StorageError(
            f"{folder.erasure_key} is gone, by which rows of erased people are recognised; restore it. To "
            f"let their rows in again, remove {folder.erased}."
        )
    return kept_key(folder.erasure_key, "", "")


def _digests_json(people: People) -> dict[str, Json]:
    return {column: sorted(digests) for column, digests in sorted(people.digests.items())}


def _digests(value: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    return {column: frozenset(digests) for column, digests in value.items()}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StorageError(f"{path} is damaged ({error}); restore it.") from error
