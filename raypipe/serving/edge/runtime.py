"""What an exported folder runs: it is copied there with the modules that it needs, and imports no other.

An answer is made by the same code as the endpoint's: the request's decoder, the row path of the transform,
the model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from raypipe.core.errors import ArtifactError, RaypipeError
from raypipe.core.ids import Json, sha256_file
from raypipe.processing.stored import read_transform
from raypipe.serving.answers import answer_body, class_name
from raypipe.serving.golden import TOLERANCE, read_golden
from raypipe.serving.predictor import MODEL_FOLDER, Predictor
from raypipe.serving.request import RequestSchema
from raypipe.training.models import load_model
from raypipe.training.task import Task

DESCRIPTION = "version.json"
CHUNK_ROWS = 1_000
T = TypeVar("T")


@dataclass(frozen=True)
class EdgeModel:
    """A version in memory. `answer` may be called from several threads."""

    pipeline: str
    version: str
    predictor: Predictor
    schema: RequestSchema
    class_names: tuple[str, ...]

    def answer(self, rows: Sequence[Json]) -> list[dict[str, Json]]:
        """Return an item a row, as the endpoint answers it: a prediction with probabilities, or an error."""
        return [item for some in _some(rows) for item in self._answer(json.dumps({"rows": some}).encode())]

    def answer_texts(self, rows: Iterable[str]) -> Iterator[dict[str, Json]]:
        """Yield the same for rows that are JSON already, as they were received."""
        for some in _some(rows):
            yield from self._answer(f'{{"rows":[{",".join(some)}]}}'.encode())

    def _answer(self, body: bytes) -> Sequence[dict[str, Json]]:
        return answer_body(self.schema, self.predictor, self.class_names, body, CHUNK_ROWS)


@dataclass(frozen=True)
class Expected:
    """A row as JSON, and how it was answered: `prediction` of a regression or class, `shares` of classes."""

    row: str
    prediction: Json = None
    shares: tuple[float, ...] | None = None


@dataclass
class Compared:
    """How answers differ from those expected: a row counts as one of exact, close, other or refused."""

    n_rows: int = 0
    n_exact: int = 0
    n_close: int = 0
    n_refused: int = 0
    """Rows that are no request, such as those of which a column was redacted."""
    largest_difference: float = 0.0
    others: list[Json] = field(default_factory=list)

    def to_json(self) -> dict[str, Json]:
        return {**vars(self), "others": self.others[:5], "n_other": len(self.others)}


def load_edge(folder: Path) -> EdgeModel:
    """Load an exported folder; raises ArtifactError where a file of it is not what was exported."""
    path = folder / DESCRIPTION
    try:
        told = json.loads(path.read_bytes())
        files, task = dict(told["files"]), Task.from_json(told["task"])
        pipeline, version, format = (str(told[name]) for name in ("pipeline", "version", "format"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); export the version again.") from error
    for name, digest in files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise ArtifactError(f"{folder / name} is not what was exported; export the version again.")
    predictor = Predictor(read_transform(folder), task, load_model(folder / MODEL_FOLDER, format))
    schema = RequestSchema(predictor.transform.inputs, predictor.transform.ignored)
    return EdgeModel(pipeline, version, predictor, schema, tuple(map(class_name, task.classes)))


def golden_of(folder: Path) -> list[Expected]:
    """Return the golden rows of a folder, with their answers."""
    golden = read_golden(folder)
    return [
        Expected(json.dumps(row), shares=tuple(map(_float, answer)))
        if isinstance(answer, list)
        else Expected(json.dumps(row), answer)
        for row, answer in zip(golden.rows, golden.answers, strict=True)
    ]


def compare(model: EdgeModel, expected: Sequence[Expected]) -> Compared:
    """Answer rows again, and say how the answers differ."""
    found = Compared()
    for one, item in zip(expected, model.answer_texts(one.row for one in expected), strict=True):
        found.n_rows += 1
        if "error" in item:
            found.n_refused += 1
            continue
        far = _distance(one, item)
        if far == 0:
            found.n_exact += 1
        elif far is not None and far <= TOLERANCE:
            found.n_close += 1
        else:
            found.others.append({"row": one.row, "answer": item})
        found.largest_difference = max(found.largest_difference, far or 0.0)
    return found


def _distance(expected: Expected, item: Mapping[str, Json]) -> float | None:
    """Return by how much an answer differs, relative to what is beyond 1; None where it is another class."""
    match item:
        case {"prediction": answer, "probabilities": Mapping() as named}:
            given = tuple(map(_float, named.values()))
            is_other = expected.prediction is not None and (type(answer), answer) != (
                type(expected.prediction),
                expected.prediction,
            )
        case {"prediction": int() | float() as value}:
            return _apart(float(value), _float(expected.prediction))
        case _:
            return None
    shares = expected.shares
    if is_other or shares is None or len(shares) != len(given):
        return None
    return max((_apart(a, b) for a, b in zip(given, shares, strict=True)), default=0.0)


def _apart(found: float, expected: float) -> float:
    return 0.0 if found == expected else abs(found - expected) / max(1.0, abs(expected))


def _float(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise ArtifactError(f"an answer must be a number. Got {value!r}.")


def _some(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while some := list(islice(rest, CHUNK_ROWS)):
        yield some


def main(folder: Path, arguments: Sequence[str]) -> int:
    """Score a file of rows, or check the folder; return the exit status."""
    parser = argparse.ArgumentParser(prog="score.py", description="Answer rows, or check this folder.")
    parser.add_argument("rows", nargs="?", default="-", help="a file of JSON objects, one a line; - is stdin")
    parser.add_argument("--check", action="store_true", help="answer the golden rows again, and compare")
    parser.add_argument("--answered", help="with --check: a file of further rows with their answers")
    options = parser.parse_args(arguments)
    try:
        model = load_edge(folder)
        if options.check:
            return _check(model, folder, options.answered)
        with sys.stdin if options.rows == "-" else Path(options.rows).open(encoding="utf-8") as lines:
            for item in model.answer_texts(line for line in lines if line.strip()):
                sys.stdout.write(f"{json.dumps(item, ensure_ascii=False)}\n")
    except (RaypipeError, OSError) as error:
        sys.stderr.write(f"score.py: {error}\n")
        return 1
    return 0


def _check(model: EdgeModel, folder: Path, answered: str | None) -> int:
    """Print how golden rows and those of a file are answered; return 1 where some are answered otherwise."""
    found = {"golden": compare(model, golden_of(folder))}
    if answered is not None:
        lines = Path(answered).read_text(encoding="utf-8").splitlines()
        found["captured"] = compare(model, [_expected(json.loads(line)) for line in lines])
    told = {name: compared.to_json() for name, compared in found.items()}
    sys.stdout.write(f"{json.dumps({'version': model.version, **told})}\n")
    return 1 if any(compared.others for compared in found.values()) else 0


def _expected(value: Mapping[str, Json]) -> Expected:
    shares = value["probabilities"]
    return Expected(
        str(value["inputs"]),
        value["prediction"],
        tuple(map(_float, shares)) if isinstance(shares, list) else None,
    )
