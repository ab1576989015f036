"""What a version answered to the rows that it was graded on: what live answers are compared with.

Kept in the version's folder at registration: how often and by how much it was wrong, in all and by slice,
which loss its own answers let expect, and the distribution of the answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from raypipe.core.errors import ArtifactError, RaypipeError
from raypipe.core.files import LOCAL_DISK, Disk, write_json
from raypipe.core.ids import Json
from raypipe.monitoring.drift import places
from raypipe.monitoring.estimated import Expected
from raypipe.monitoring.harm import MAX_RANKED, Budget, Release
from raypipe.monitoring.joint import Sample
from raypipe.monitoring.life import alike_in_order
from raypipe.monitoring.quality import JudgedTask, score_of
from raypipe.monitoring.reference import CategoryBins, NumberBins, Reference, ReferenceColumn
from raypipe.stats.intervals import Interval

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRADED_NAME = "graded.json"
FORMAT = 1
MAX_GRADED = 20_000
"""Of more test rows so many are graded, spread evenly over them."""
CLASS, CONFIDENCE, VALUE = "answer.class", "answer.confidence", "answer.value"
"""The columns of answers, beside those of inputs."""


@dataclass(frozen=True)
class Graded:
    """A version's answers to graded rows."""

    n_rows: int
    n_wrong: int | None
    """For classification; None for regression."""
    errors: tuple[float, ...]
    """For regression, absolute errors in increasing order, at most 2,000 of them; else empty."""
    expected: Expected
    """The loss to expect by what was answered: a wrong class, or the absolute error."""
    answers: Reference
    """The distribution of what was answered."""
    sample: Sample
    """Training rows by the bins of the inputs."""
    alike: Mapping[str, float]
    """How many rows in a row tell as much as one, by column, as training and graded rows in their order show;
    empty where they have no order of time."""
    slices: Mapping[str, tuple[tuple[int, float], ...]]
    """For each sliced column, by its bins: rows, and their total loss (a wrong class, or an error's rank)."""
    score: Interval | None = None
    """In the task's metric; None for versions that were registered without."""

    def release(self, budget: Budget) -> Release:
        """Return what is no harm."""
        import numpy as np

        if self.n_wrong is not None:
            return Release.of_classes(self.n_wrong, self.n_rows, budget)
        return Release.of_amounts(np.array(self.errors), budget, seed=0)

    def to_json(self) -> dict[str, Json]:
        slices: dict[str, Json] = {name: [list(one) for one in bins] for name, bins in self.slices.items()}
        return {
            "format": FORMAT,
            "n_rows": self.n_rows,
            "n_wrong": self.n_wrong,
            "errors": list(self.errors),
            "expected": self.expected.to_json(),
            "answers": self.answers.to_json(),
            "sample": self.sample.to_json(),
            "alike": dict(self.alike),
            "slices": slices,
            "score": None if self.score is None else self.score.to_json(),
        }

    @classmethod
    def from_json(cls, value: Json) -> Graded:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {
                "format": 1,
                "n_rows": int(n_rows),
                "n_wrong": int() | None as n_wrong,
                "errors": [*errors],
                "expected": expected,
                "answers": answers,
                "sample": sample,
                "alike": {**alike},
                "slices": {**slices},
                **more,
            }:
                return cls(
                    n_rows,
                    n_wrong,
                    msgspec.convert(errors, tuple[float, ...]),
                    Expected.from_json(expected),
                    Reference.from_json(answers),
                    Sample.from_json(sample),
                    msgspec.convert(alike, dict[str, float]),
                    msgspec.convert(slices, dict[str, tuple[tuple[int, float], ...]]),
                    _interval(more.get("score")),
                )
            case _:
                raise ArtifactError(f"Graded rows must be JSON of format {FORMAT}. Got {value!r:.200}.")


@dataclass(frozen=True)
class Answered:
    """Answers to graded rows, in their order: probabilities, shape (n, n_classes), or values, shape (n,)."""

    raw: Floats
    target: NDArray[np.int64] | Floats
    """The code of the right class, or the right value."""


def graded(
    task: JudgedTask,
    answered: Answered,
    rows: pa.Table,
    sliced: Reference,
    sample: Sample,
    alike: Mapping[str, float] | None = None,
) -> Graded:
    """Grade a version's answers to rows, at least one; `sliced` are the columns whose bins are slices.

    `sample` is of the rows that it was trained on, and `alike` says how many of those in a row tell as much
    as one, where they and the graded ones are in order of time. Rows whose answer is not finite are none;
    raises ArtifactError where there is no other.
    """
    import numpy as np

    answered, rows = _finite(answered, rows)
    raw, target = answered.raw, answered.target
    if task.kind == "classification":
        confidences, losses = raw.max(axis=1), (raw.argmax(axis=1) != target).astype(np.float64)
        expected, errors = Expected.of_confidences(confidences, losses), np.zeros(0)
        names = [json.dumps(task.classes[code], ensure_ascii=False) for code in raw.argmax(axis=1)]
        answers = answer_table(names, confidences)
    else:
        errors = np.abs(raw - target)
        expected, answers = Expected.of_amounts(raw, errors), answer_table(None, raw)
        losses = Release(0.5, 0.5, tuple(np.sort(errors).tolist())).ranks(errors)
    distribution = _reference(answers)
    return Graded(
        n_rows=len(target),
        n_wrong=int(losses.sum()) if task.kind == "classification" else None,
        errors=_kept(errors),
        expected=expected,
        answers=distribution,
        sample=sample,
        alike={} if alike is None else {**alike_in_order(distribution, answers), **alike},
        slices={one.column.name: _by_bin(one, rows, losses) for one in sliced.columns},
        score=score_of(answered.target, raw, task.metric, seed=0),
    )


def _interval(value: object) -> Interval | None:
    return None if value is None else Interval.from_json(msgspec.convert(value, list[float | None]))


def _finite(answered: Answered, rows: pa.Table) -> tuple[Answered, pa.Table]:
    import numpy as np
    import pyarrow as pa

    n_rows = len(answered.target)
    kept = np.flatnonzero(np.isfinite(answered.raw.reshape(n_rows, -1).sum(axis=1)))
    if not len(kept):
        raise ArtifactError(f"a version must answer some graded row with a number. Got none of {n_rows}.")
    if len(kept) == n_rows:
        return answered, rows
    return Answered(answered.raw[kept], answered.target[kept]), rows.take(pa.array(kept))


def answer_table(classes: Sequence[str] | pa.ChunkedArray | None, numbers: Floats) -> pa.Table:
    """Return answers as columns: classes as JSON with their confidences, or values alone."""
    import pyarrow as pa

    if classes is None:
        return pa.table({VALUE: pa.array(numbers, pa.float64())})
    named = classes if isinstance(classes, pa.ChunkedArray) else pa.array(classes, pa.string())
    return pa.table({CLASS: named, CONFIDENCE: pa.array(numbers, pa.float64())})


def write_graded(folder: Path, found: Graded, disk: Disk = LOCAL_DISK) -> None:
    """Write graded rows into the folder of a version about to be registered; raises StorageError."""
    write_json(folder / GRADED_NAME, found.to_json(), disk)


def read_graded(folder: Path) -> Graded | None:
    """Read the graded rows of a version's folder; None where it has none, as versions of before.

    Raises ArtifactError for a file that holds something else.
    """
    path = folder / GRADED_NAME
    try:
        return Graded.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (RaypipeError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as graded rows ({error}); restore the folder.") from error


def slice_name(one: ReferenceColumn, place: int) -> str:
    """Return how a person names a bin of a column, such as `colour = red` or `age in (30, 40]`."""
    name, bins = one.column.name, one.bins
    if place == bins.n:
        return f"{name} is missing"
    match bins:
        case NumberBins():
            ends = (bins.minimum, *bins.edges)
            if place == 0:
                return f"{name} < {bins.minimum:g}"
            if place == bins.n - 1:
                return f"{name} > {ends[-1]:g}"
            opens = "[" if place == 1 else "("
            return f"{name} in {opens}{ends[place - 1]:g}, {ends[place]:g}]"
        case CategoryBins():
            if place < len(bins.own):
                return f"{name} = {bins.own[place]}"
            return f"{name} is {'another' if place == len(bins.own) else 'new'}"
        case _:
            return f"{name} is there"


def _reference(answers: pa.Table) -> Reference:
    from raypipe.data.profile import Profile
    from raypipe.data.schema import schema_columns

    return Reference.of(Profile.of_table(answers), schema_columns(answers.schema))


def _by_bin(one: ReferenceColumn, rows: pa.Table, losses: Floats) -> tuple[tuple[int, float], ...]:
    import numpy as np

    at, n = places(one, rows), one.bins.n + 1
    n_each, totals = np.bincount(at, minlength=n), np.bincount(at, weights=losses, minlength=n)
    return tuple(zip(n_each.tolist(), totals.tolist(), strict=True))


def _kept(errors: Floats) -> tuple[float, ...]:
    import numpy as np

    if len(errors) > MAX_RANKED:
        errors = np.random.default_rng(0).choice(errors, MAX_RANKED, replace=False)
    return tuple(np.sort(errors).tolist())
