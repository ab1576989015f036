"""What a model's folder holds of given rows: golden rows, and texts that its files know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json, canonical_json
from raypipe.registry.manifest import MANIFEST_NAME
from raypipe.serving.golden import GOLDEN_NAME, as_sent, read_golden

if TYPE_CHECKING:
    from raypipe.data.erasure.rows import Theirs

MIN_TEXT_BYTES = 4
"""Shorter texts are looked for in JSON alone, where their ends are known."""


def files_with(folder: Path, theirs: Theirs) -> tuple[str, ...]:
    """Return the files of a model version that hold some of these rows, or a text that only they have.

    Paths are relative to the folder; a folder that is gone holds none.
    """
    found = {GOLDEN_NAME} if _has_golden(folder, theirs) else set()
    texts = [list(_spellings(text)) for text in theirs.texts]
    for path in folder.rglob("*"):
        if path.is_file() and path.name != MANIFEST_NAME:
            data = path.read_bytes()
            if any(spelling in data for spellings in texts for spelling in spellings):
                found.add(path.relative_to(folder).as_posix())
    return tuple(sorted(found))


def _has_golden(folder: Path, theirs: Theirs) -> bool:
    """Whether one of the golden rows is one of these."""
    try:
        golden = read_golden(folder).rows
    except ArtifactError:
        return False
    names = list(golden[0]) if isinstance(golden[0], dict) else []
    if not set(names) <= set(theirs.rows.column_names):
        return False
    known = {_key(as_sent(row)) for row in theirs.rows.select(names).to_pylist()}
    return any(_key(row) in known for row in golden)


def _key(row: Json) -> bytes:
    return canonical_json(row)


def _spellings(text: str) -> Iterator[bytes]:
    for spelled in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        yield spelled.encode("utf-8", "surrogatepass")
    if len(plain := text.encode("utf-8", "surrogatepass")) >= MIN_TEXT_BYTES:
        yield plain
