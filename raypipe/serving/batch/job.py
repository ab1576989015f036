"""A job of scoring: which version answers the rows of which source, and what becomes of a piece of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from raypipe.core.errors import ConfigError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, content_id
from raypipe.data.canonical import canonical_type, cast_column
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.config import CsvSettings, JsonLinesSettings, ParquetSettings, SourceSettings
from raypipe.data.sources.digest import digest_of
from raypipe.data.sources.files import FileSource
from raypipe.data.sources.line_files import line_blocks
from raypipe.data.sources.opened import open_source
from raypipe.data.sources.records import Declared, stacked
from raypipe.data.sources.source import Piece, Source
from raypipe.serving.answers import NOT_FINITE
from raypipe.serving.batch.intake import Intake, RejectedRow, blocks_of, take_lines, take_table
from raypipe.serving.batch.parts import Part, part_name, read_part, write_part
from raypipe.serving.pointer import Pointer
from raypipe.serving.swap import LoadedVersion, load_version

if TYPE_CHECKING:
    from raypipe.training.task import Task

PIECE_ROWS = 262_144
"""A Parquet file of more rows is scored in pieces, cut between its row groups."""
_CHUNK_ROWS = 65_536
_LAYOUT = 1


@dataclass(frozen=True)
class ScoreJob:
    """What is scored, by what, and where to; small, so that it travels to other processes."""

    folder: PipelineHome
    pointer: Pointer
    source: SourceSettings
    kinds: Mapping[str, ColumnKind]
    """What the contract declares of columns."""
    keep: tuple[str, ...]
    """Columns that stand beside the answers."""

    @property
    def id(self) -> str:
        """Equal where equal pieces get equal parts."""
        parts: dict[str, Json] = {
            "layout": _LAYOUT,
            "pipeline": self.folder.name,
            "manifest": self.pointer.manifest_sha256,
            "format": self.source.format,
            "kinds": dict(self.kinds),
            "keep": list(self.keep),
        }
        return content_id("s", parts)

    def key(self, digest: str) -> str:
        """Return the content id of the part that is made of a piece."""
        return content_id("p", {"job": self.id, "digest": digest})


@dataclass(frozen=True)
class NumberedPiece:
    """A piece of the input, and its place in it from 0."""

    number: int
    piece: Piece


class Scorer:
    """A version in memory that scores pieces of a job."""

    def __init__(self, job: ScoreJob) -> None:
        self._job = job
        self._version = load_version(job.folder, job.pointer)
        _check_keep(job.keep, output_names(self._version.predictor.task, self._version.class_names))

    @cached_property
    def source(self) -> Source:
        """Where the pieces come from."""
        return open_input(self._job, self._version)

    def __call__(self, numbered: NumberedPiece, output: Path) -> Part:
        """Score a piece and write its part, unless it is there already.

        Raises SourceError, SchemaError and StorageError.
        """
        digest = numbered.piece.digest
        if digest is not None and (found := read_part(output, self._name(numbered.number, digest))):
            return found
        if digest is not None:
            scores, rejected = self.scored(self._intakes(numbered.piece))
            return write_part(output, self._name(numbered.number, digest), scores, rejected)
        rows = canonical(self.source.read(numbered.piece))
        name = self._name(numbered.number, digest_of(rows))
        found = read_part(output, name)
        return found or write_part(output, name, *self.scored(self._taken(rows)))

    def score(self, piece: Piece) -> tuple[pa.Table, list[RejectedRow]]:
        """Return the scores of a piece's rows in order, and the rows that have none."""
        return self.scored(self._intakes(piece))

    def scored(self, intakes: Iterator[Intake]) -> tuple[pa.Table, list[RejectedRow]]:
        """Return the scores of rows in order, and the rows that have none."""
        tables, rejected = [], []
        for intake in intakes:
            scores, infinite = self._answered(intake)
            tables.append(scores)
            rejected += [*intake.rejected, *infinite]
        rejected.sort(key=lambda row: row.row)
        return stacked(tables, "the scores") if tables else self._answered(self._nothing())[0], rejected

    def _name(self, number: int, digest: str) -> str:
        return part_name(number, self._job.key(digest))

    def _intakes(self, piece: Piece) -> Iterator[Intake]:
        source = self.source
        if isinstance(source, FileSource) and isinstance(self._job.source, JsonLinesSettings):
            start = 0
            for _, lines in line_blocks(source.file_of(piece)):
                intake, n_rows = take_lines(lines, self._version.schema, self._job.keep, start)
                start += n_rows
                yield intake
        else:
            yield from self._taken(source.read(piece))

    def _taken(self, rows: pa.Table) -> Iterator[Intake]:
        for start, chunk in blocks_of(rows, _CHUNK_ROWS):
            yield take_table(chunk, self._version.schema, self._job.keep, start)

    def _nothing(self) -> Intake:
        return take_lines((), self._version.schema, self._job.keep, 0)[0]

    def _answered(self, intake: Intake) -> tuple[pa.Table, list[RejectedRow]]:
        predictor, names = self._version.predictor, self._version.class_names
        predictions = predictor.predict_table(intake.inputs)
        columns = {name: intake.kept[name] for name in intake.kept.column_names}
        columns["prediction"] = pa.array(predictions.values, _type(predictor.task))
        if predictions.probabilities is not None:
            columns |= {
                f"probability_{name}": pa.array(np.ascontiguousarray(share))
                for name, share in zip(names, predictions.probabilities.T, strict=True)
            }
        columns["version"] = pa.repeat(self._job.pointer.version, intake.inputs.num_rows)
        scores = pa.table(columns)
        if all(predictions.finite):
            return scores, []
        infinite = [
            place for place, finite in zip(intake.places, predictions.finite, strict=True) if not finite
        ]
        return scores.filter(pa.array(predictions.finite)), [
            RejectedRow(place, NOT_FINITE.fields, None) for place in infinite
        ]


def open_input(job: ScoreJob, version: LoadedVersion) -> Source:
    """Return the source of a job; a CSV file's inputs are read as text, so that a bad cell costs its row."""
    names = [column.name for column in version.schema.inputs]
    as_text: dict[str, ColumnKind] = dict.fromkeys(names, "category")
    declared = Declared({**job.kinds, **as_text} if isinstance(job.source, CsvSettings) else job.kinds)
    if isinstance(job.source, ParquetSettings):
        return FileSource(job.source, declared, PIECE_ROWS)
    return open_source(job.source, declared)


def output_names(task: Task, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that stand in every output."""
    shares = class_names if task.kind == "classification" else ()
    return ("prediction", *(f"probability_{name}" for name in shares), "version")


def canonical(rows: pa.Table) -> pa.Table:
    """Return a table in canonical types."""
    columns = [cast_column(column, canonical_type(column.type)) for column in rows.columns]
    return pa.table(columns, names=rows.column_names)


def _check_keep(keep: Sequence[str], taken: Sequence[str]) -> None:
    for name in keep:
        if name in taken or keep.count(name) > 1:
            raise ConfigError(
                f"--keep must name other columns than {', '.join(taken)}, once each. Got {name!r}."
            )


def _type(task: Task) -> pa.DataType:
    return pa.float64() if task.kind == "regression" else pa.array(task.classes).type
