"""Follows the captured rows of a rollout, and keeps what they show of the challenger in the home."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from raypipe.control.captured_tail import CapturedTail, News, read_rows
from raypipe.control.events import Fact
from raypipe.control.ledger import read_facts
from raypipe.control.measuring import RolloutMeasure
from raypipe.control.rollout_events import CanarySet, CanaryStepped
from raypipe.control.rollout_evidence import RolloutEvidence
from raypipe.control.sides import Captured, Sides
from raypipe.core.clock import Clock
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.policy.rollout import RolloutSettings
from raypipe.registry.store import Registry
from raypipe.serving.predictor import Predictor, load_predictor

LABELS = ("prediction_id", "label")
_ALWAYS, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


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
        self._tail = CapturedTail(folder, f"{decision}.rollout", clock)
        self._measure = self._begun()

    def look(self) -> RolloutEvidence:
        """Take in what the tables have got since the last look, and keep all the evidence."""
        for news in self._tail.look():
            if news.is_anew:
                self._measure = self._begun()
            if news.is_before:
                # Where a row stands says whether it came before, whatever a replica's clock showed.
                self._measure.since = _NEVER
            self._measure.weights = weights_of(
                [fact for _, fact in read_facts(self._registry, self._folder.name)], self._decision
            )
            self._take(news)
            if news.is_before:
                self._measure.since = _ALWAYS
        evidence = self._measure.evidence
        write_json(_path(self._folder, self._decision), evidence.to_json())
        return evidence

    def _begun(self) -> RolloutMeasure:
        return RolloutMeasure(self._sides, self._settings, self._tail.start.at)

    def _take(self, news: News) -> None:
        for file in news.answers:
            self._measure.take_answers([Captured(*row) for row in read_rows(file, Captured._fields)])
        for file in news.labels:
            self._measure.take_labels(read_rows(file, LABELS))
        if not news.answers:
            self._measure.take_answers(())

    def _load(self, version: str) -> Predictor:
        known = self._registry.model_version(self._folder.name, version)
        return load_predictor(self._folder.model(version), known.manifest_sha256)


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


def _path(folder: PipelineHome, decision: str) -> Path:
    return folder.root / "decisions" / f"{decision}.rollout.json"
