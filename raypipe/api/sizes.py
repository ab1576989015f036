"""How much there is to do, as far as listings, footers and records tell; no row is read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from raypipe.core.ids import Json
from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.feeds import recipe_of
from raypipe.data.locations import locate
from raypipe.data.sources.config import ParquetSettings
from raypipe.data.sources.source import Extent
from raypipe.data.sources.survey import Survey, survey
from raypipe.data.versions import DataVersion
from raypipe.processing.stored import TRANSFORM_NAME

FEATURES_A_COLUMN = 3
"""A guess, where no version has been made yet."""
WORKER_BYTES = 300_000_000
"""What a trial's process holds before it has any rows."""
_CELL_BYTES, _FEATURE_BYTES, _TARGET_BYTES = 8, 4, 8
_BLOCK_ROWS, _N_BLOCKS, _PLACE_BYTES = 131_072, 8, 32


@dataclass(frozen=True)
class Machine:
    """The machine that this process runs on."""

    n_cpus: int

    @staticmethod
    def here() -> Machine:
        """Return this one."""
        return Machine(os.cpu_count() or 1)


@dataclass(frozen=True)
class Sizes:
    """What lies at the sources; None where only reading tells."""

    version: DataVersion | None
    """A known version with pieces of these sizes."""
    n_pieces: int | None
    n_rows: int | None
    n_bytes: int | None
    n_columns: int | None
    n_features: int | None
    features_guessed: bool = True
    problem: str = ""
    """Why a source does not tell."""

    def parts(self, split: SplitSettings) -> tuple[int, int, int] | None:
        """Return about how many rows train, choose and judge."""
        if self.n_rows is None:
            return None
        test, validation = round(self.n_rows * split.test), round(self.n_rows * split.validation)
        return self.n_rows - validation - test, validation, test

    def learned_from(self, split: SplitSettings) -> int | None:
        """Return how many rows train and choose."""
        parts = self.parts(split)
        return None if parts is None else parts[0] + parts[1]

    @property
    def rows_bytes(self) -> int | None:
        """What all rows take in memory."""
        return _product(self.n_rows, self.n_columns, _CELL_BYTES)

    @property
    def blocks_bytes(self) -> int | None:
        """What a run that reads its rows block by block holds of them: a few blocks, and their places."""
        if self.n_rows is None or self.n_columns is None:
            return None
        return _N_BLOCKS * _BLOCK_ROWS * self.n_columns * _CELL_BYTES + self.n_rows * _PLACE_BYTES

    @property
    def features_bytes(self) -> int | None:
        """What the features of all rows take in memory."""
        return _product(self.n_rows, self.n_features, _FEATURE_BYTES)

    def race_bytes(self, max_concurrent: int) -> int | None:
        """Return what a race takes: the features once for all, and in each trial a process and two copies."""
        if self.features_bytes is None:
            return None
        return self.features_bytes + max_concurrent * (WORKER_BYTES + 2 * self.features_bytes)


def known_version(
    settings: DataSettings, versions: Sequence[DataVersion]
) -> tuple[DataVersion | None, tuple[Survey, ...]]:
    """Return the newest version whose pieces are as many and as large as what lies at the sources now."""
    names = {one.name for one in settings.sources if one.join is None}
    candidates = [one for one in versions if {part.source for part in one.fragments} == names]
    newest = candidates[0] if candidates else None
    read = {one.source: one.position for one in newest.fragments} if newest else {}
    surveys = survey(settings, read)
    if newest is None or not _same_recipe(settings, newest):
        return None, surveys
    same = all(_same_size(one, newest) for one in surveys)
    return (newest if same else None), surveys


def seen(
    settings: DataSettings, version: DataVersion | None, surveys: Sequence[Survey], model: Path | None
) -> Sizes:
    """Return the sizes of what would be worked on; `model` is the folder of the newest model version."""
    stacked = [one for one in surveys if not one.is_joined]
    problem = next((one.problem for one in surveys if one.problem), "") or ""
    n_columns = len(version.columns) if version else None if problem else _n_columns(settings)
    n_features = _n_features(model)
    return Sizes(
        version=version,
        n_pieces=_total([one.extent.n_pieces for one in surveys]),
        n_rows=version.n_rows if version else _total([one.extent.n_rows for one in stacked]),
        n_bytes=_total([one.extent.n_bytes for one in surveys]),
        n_columns=n_columns,
        n_features=_product(n_columns, FEATURES_A_COLUMN) if n_features is None else n_features,
        features_guessed=n_features is None,
        problem=problem,
    )


def _same_size(found: Survey, version: DataVersion) -> bool:
    if found.problem is not None:
        return False
    if found.is_joined:
        pieces = [one for one in version.joined if one.source == found.name]
        return _alike(found.extent, Extent(len(pieces), None, sum(one.n_bytes for one in pieces)))
    if found.position is not None:
        return not found.extent.n_pieces and not found.extent.n_rows
    fragments = [one for one in version.fragments if one.source == found.name]
    n_pieces, n_rows = sum(len(one.digests) for one in fragments), sum(one.n_rows for one in fragments)
    return _alike(found.extent, Extent(n_pieces, n_rows, sum(one.n_bytes for one in fragments)))


def _alike(now: Extent, then: Extent) -> bool:
    """Whether two extents differ in nothing that is known of both; a database tells no bytes."""
    pairs = zip(astuple(now), astuple(then), strict=True)
    return all(one == other for one, other in pairs if one is not None and other is not None)


def _same_recipe(settings: DataSettings, version: DataVersion) -> bool:
    """Whether the settings that rows follow from are those of the version, its lookups taken as they were."""
    lookups: list[Json] = [
        [
            one.name,
            one.join.model_dump(mode="json"),
            [piece.sha256 for piece in version.joined if piece.source == one.name],
        ]
        for one in settings.sources
        if one.join is not None
    ]
    return {one.recipe for one in version.fragments} == {recipe_of(settings, lookups)}


def _n_columns(settings: DataSettings) -> int | None:
    """Return how many columns the first Parquet file of each source has, by its footer."""
    found = [
        _columns_of(one) - (len(one.join.pairs) if one.join else 0)
        for one in settings.sources
        if isinstance(one, ParquetSettings)
    ]
    return sum(found) if len(found) == len(settings.sources) else None


def _columns_of(source: ParquetSettings) -> int:
    from pyarrow import parquet

    first = locate(source)[0]
    with first.filesystem.open_input_file(first.path) as stream:
        return int(parquet.ParquetFile(stream).metadata.num_columns)


def _n_features(model: Path | None) -> int | None:
    if model is None:
        return None
    try:
        transform: Mapping[str, Sequence[str]] = json.loads((model / TRANSFORM_NAME).read_bytes())
    except FileNotFoundError:
        return None
    return len(transform["feature_names"])


def _total(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _product(*factors: int | None) -> int | None:
    product = 1
    for factor in factors:
        if factor is None:
            return None
        product *= factor
    return product
