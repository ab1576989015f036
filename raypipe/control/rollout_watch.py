"""Follows the captured rows of a rollout, and keeps what they show of the challenger in the home."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.control.events import Fact
from raypipe.control.ledger import read_facts
from raypipe.control.measuring import RolloutMeasure
from raypipe.control.rollout_events import CanarySet, CanaryStepped
from raypipe.control.rollout_evidence import RolloutEvidence
from raypipe.control.sides import Captured, Sides
from raypipe.core.clock import Clock
from raypipe.core.errors import SchemaError
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.data.tail import BEGINNING, Tail, files_at, read_tail
from raypipe.policy.rollout import RolloutSettings
from raypipe.registry.store import Registry
from raypipe.serving.predictor import Predictor, load_predictor

if TYPE_CHECKING:
    import pyarrow as pa

_ALWAYS, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
N_FILES_BEFORE = 500
"""Files of each table, from before the rollout, that tell what the champion's losses are like."""


@dataclass(frozen=True)
class Start:
    """When a rollout began, and how far the tables had come then; kept, so a restart begins there too."""

    at: datetime
    predictions: int
    labels: int


class RolloutWatch:
    """Measures one rollout; a new one for the same decision comes to the same evidence.

    The constructor loads both versions; it raises RaypipeError where one cannot be.
    """

    def __init__(
        self,
        folder: PipelineHome,
        registry: Registry,
        settings: RolloutSettings,
        clock: Clock,
        *,
        decision: str,
        version: str,
        champion: str,
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._settings = settings
        self._decision = decision
        self._sides = Sides(self._load(champion), self._load(version), champion, time.perf_counter)
        self._start = _started(folder, decision, clock)
        self._begin_anew()

    def look(self) -> RolloutEvidence:
        """Take in what the tables have got since the last look, and keep all the evidence."""
        self._measure.weights = weights_of(
            [fact for _, fact in read_facts(self._registry, self._folder.name)], self._decision
        )
        tails = [read_tail(path, at) for path, at in zip(self._paths, self._positions, strict=True)]
        if any(tail is not None and tail.is_whole for tail in tails if BEGINNING not in self._positions):
            # Rows that were known may be gone; all since the start is read again.
            self._begin_anew(BEGINNING)
            tails = [read_tail(path, BEGINNING) for path in self._paths]
        self._take(tails)
        evidence = self._measure.evidence
        write_json(_path(self._folder, self._decision), evidence.to_json())
        return evidence

    def _begin_anew(self, position: int | None = None) -> None:
        self._measure = RolloutMeasure(self._sides, self._settings, self._start.at)
        if position is not None:
            self._positions = [position, position]
            return
        # Where a row stands says whether it came before, whatever a replica's clock showed.
        self._measure.since = _NEVER
        self._positions = [self._start.predictions, self._start.labels]
        before = [
            Tail(files_at(path, at)[-N_FILES_BEFORE:], at)
            for path, at in zip(self._paths, self._positions, strict=True)
        ]
        self._take(before)
        self._measure.since = _ALWAYS

    def _take(self, tails: Sequence[Tail | None]) -> None:
        answers, labels = tails
        for file in answers.files if answers else ():
            self._measure.take_answers(_answers(self._folder.predictions / file))
        for file in labels.files if labels else ():
            self._measure.take_labels(_labels(self._folder.labels / file))
        if not answers:
            self._measure.take_answers(())
        self._positions = [
            known if tail is None else tail.position
            for known, tail in zip(self._positions, tails, strict=True)
        ]

    def _load(self, version: str) -> Predictor:
        known = self._registry.model_version(self._folder.name, version)
        return load_predictor(self._folder.model(version), known.manifest_sha256)

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self._folder.predictions, self._folder.labels


def read_evidence(folder: PipelineHome, decision: str) -> RolloutEvidence | None:
    """Return what was measured of a decision's challenger; None before anything was."""
    try:
        return RolloutEvidence.from_json(json.loads(_path(folder, decision).read_bytes()))
    except FileNotFoundError:
        return None


def weights_of(facts: list[Fact], decision: str) -> dict[int, float]:
    """Return the weight of a decision's canary by the epoch of the pointer that set it."""
    steps = {
        fact.step: fact.weight
        for fact in facts
        if isinstance(fact, CanaryStepped) and fact.decision == decision
    }
    return {
        fact.epoch: steps[fact.step]
        for fact in facts
        if isinstance(fact, CanarySet) and fact.decision == decision and fact.step in steps
    }


def _started(folder: PipelineHome, decision: str, clock: Clock) -> Start:
    path = folder.root / "decisions" / f"{decision}.rollout-start.json"
    try:
        value = json.loads(path.read_bytes())
        return Start(datetime.fromisoformat(value["at"]), value["predictions"], value["labels"])
    except FileNotFoundError:
        found = [read_tail(one, BEGINNING) for one in (folder.predictions, folder.labels)]
        positions = [BEGINNING if tail is None else tail.position for tail in found]
        start = Start(clock.now(), positions[0], positions[1])
        write_json(path, {"at": start.at.isoformat(), "predictions": positions[0], "labels": positions[1]})
        return start
    except (ValueError, KeyError) as error:
        raise SchemaError(f"{path} must hold at, predictions and labels ({error}).") from error


def _answers(file: Path) -> list[Captured]:
    table = _read(file, Captured._fields)
    columns = [table[name].to_pylist() for name in Captured._fields]
    return [Captured(*row) for row in zip(*columns, strict=True)]


def _labels(file: Path) -> list[tuple[str, str]]:
    table = _read(file, ("prediction_id", "label"))
    return list(zip(table["prediction_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def _read(file: Path, columns: tuple[str, ...]) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file).read(columns=list(columns))


def _path(folder: PipelineHome, decision: str) -> Path:
    return folder.root / "decisions" / f"{decision}.rollout.json"
