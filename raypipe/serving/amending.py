"""Golden rows of people who were erased: other rows take their place, and the version is signed anew.

A version's folder is immutable but for this. Which of its golden rows are theirs nobody can tell once they
are erased, so all are replaced, by rows that are left of the data version; the model answers those, and its
card shows one of them. In order: a new folder beside the old one; its digest in the registry, with an entry
of the ledger; the folders change places; the pointer, if it names the version, gets the digest. A kill in
between leaves what the next call finishes: which versions wait is kept in a file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError, DataError
from raypipe.core.files import fsync_folder, fsync_tree, storage_errors, write_json
from raypipe.core.home import PipelineHome
from raypipe.core.ids import sha256_file
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.erasure.records import keep_noted, noted_models
from raypipe.registry.manifest import MANIFEST_NAME, digest_files, read_manifest, write_manifest
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.golden import GOLDEN_NAME, golden_rows, read_golden, write_golden
from raypipe.serving.package import CARD_NAME
from raypipe.serving.pointer import legible_pointer
from raypipe.serving.predictor import load_predictor

if TYPE_CHECKING:
    import pyarrow as pa

N_ASKED_ROWS = 256


def amend(
    registry: Registry,
    folder: PipelineHome,
    progress: Progress = silent,
    on_step: Callable[[str], None] = lambda _: None,
) -> None:
    """Give the versions that wait for it other golden rows; the turn must be held.

    `on_step` hears of each step once it is done. A version that has no rows left to answer keeps waiting, as
    the progress says. Raises StorageError.
    """
    noted = noted_models(folder)
    there = {one.version: one for one in registry.model_versions(folder.name)}
    for version, (erasure, files) in tuple(noted.items()):
        if version in there and GOLDEN_NAME in files:
            try:
                _Amending(registry, folder, there[version], erasure, on_step).run()
            except (ArtifactError, DataError) as error:
                progress(Step("erase", f"{version} keeps golden rows of people, so remove it: {error}"))
                continue
            progress(Step("erase", f"{version}: other golden rows"))
        del noted[version]
        keep_noted(folder, noted)


@dataclass(frozen=True)
class _Amending:
    registry: Registry
    folder: PipelineHome
    model: ModelVersion
    erasure: str
    on_step: Callable[[str], None]

    def run(self) -> None:
        if not self._is_signed():
            self._write()
            self.on_step("written")
            self.registry.amend_model(
                self.folder.name, self.model.version, sha256_file(self._new / MANIFEST_NAME), self.erasure
            )
            self.on_step("signed")
        self._change_places()
        self._point()

    @property
    def _place(self) -> Path:
        return self.folder.model(self.model.version)

    @property
    def _new(self) -> Path:
        return self._place.with_name(f".{self.model.version}-{self.erasure}")

    @property
    def _old(self) -> Path:
        return self._place.with_name(f".{self.model.version}-before-{self.erasure}")

    def _is_signed(self) -> bool:
        """Whether an earlier attempt came as far as the registry."""
        made = self._new / MANIFEST_NAME
        if not made.exists():
            return self._old.exists()
        return sha256_file(made) == self.model.manifest_sha256

    def _write(self) -> None:
        predictor = load_predictor(self._place, self.model.manifest_sha256)
        rows = golden_rows(self._rows_left(), predictor.transform.inputs)
        before = _example(self._place)
        with storage_errors(self._new):
            shutil.rmtree(self._new, ignore_errors=True)
            shutil.copytree(self._place, self._new)
        write_golden(predictor, rows, self._new)
        card = self._new / CARD_NAME
        if card.exists():
            with storage_errors(card):
                text = card.read_text(encoding="utf-8").replace(before, _example(self._new))
                card.write_text(text, encoding="utf-8")
        manifest = read_manifest(self._place, self.model.manifest_sha256)
        write_manifest(
            self._new,
            manifest.draft,
            version=manifest.version,
            created_at=manifest.created_at,
            files=digest_files(self._new),
        )
        fsync_tree(self._new)

    def _rows_left(self) -> pa.Table:
        """Return rows of the data version, spread over it; raises DataError where it has none."""
        import numpy as np

        from raypipe.data.blocks import StoredRows, blocks_of
        from raypipe.data.versions import readable

        data = readable(self.registry.data_versions(self.folder.name), self.model.data_version)
        names = [column.name for column in data.columns]
        rows = StoredRows(blocks_of(self.folder, data), data.columns, np.arange(data.n_rows), names)
        return rows.take(np.unique(np.linspace(0, data.n_rows - 1, N_ASKED_ROWS).astype(np.int64)))

    def _change_places(self) -> None:
        with storage_errors(self._place):
            if self._new.exists():
                if self._place.exists():
                    self._place.rename(self._old)
                    self.on_step("put aside")
                self._new.rename(self._place)
                self.on_step("replaced")
            fsync_folder(self._place.parent)
            shutil.rmtree(self._old, ignore_errors=True)

    def _point(self) -> None:
        pointer = legible_pointer(self.folder.pointer)
        if pointer is not None and pointer.version == self.model.version:
            digest = sha256_file(self._place / MANIFEST_NAME)
            write_json(self.folder.pointer, asdict(replace(pointer, manifest_sha256=digest)))


def _example(folder: Path) -> str:
    """Return the example of a version's card, as it stands there."""
    rows = read_golden(folder).rows[:1]
    return json.dumps({"rows": list(rows)}, indent=2, ensure_ascii=False)
