"""Follows captured rows while a gate goes on, and keeps in the home how both models score on them."""

from __future__ import annotations

import json
from pathlib import Path

from raypipe.config.settings import Config
from raypipe.control.captured_tail import CapturedTail, read_rows
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.gate_measure import Answered, Contest, GateMeasure, Labelled
from raypipe.control.outcome import read_result
from raypipe.core.clock import Clock
from raypipe.core.errors import DataError, UnknownVersion
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.data.growth import live_ids
from raypipe.data.versions import DataVersion
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.predictor import Predictor, load_predictor


class GateWatch:
    """Measures one gate that goes on; a new one for the same decision measures by the same rows.

    The constructor loads both versions; it raises RaypipeError where one cannot be.
    """

    def __init__(
        self, config: Config, registry: Registry, clock: Clock, *, decision: str, version: str, champion: str
    ) -> None:
        self._folder = config.folder
        self._decision = decision
        self._contest = contest_of(config, registry, decision, version, champion)
        self._tail = CapturedTail(config.folder, f"{decision}.gate", clock)
        self._measure = GateMeasure(self._contest)

    def look(self) -> GateEvidence | None:
        """Take in what the tables have got since the last look, and keep all the evidence."""
        for news in self._tail.look():
            if news.is_anew:
                self._measure = GateMeasure(self._contest)
            for file in news.answers:
                self._measure.take_answers([Answered(*row) for row in read_rows(file, Answered._fields)])
            for file in news.labels:
                self._measure.take_labels([Labelled(*row) for row in read_rows(file, Labelled._fields)])
        evidence = self._measure.evidence
        if evidence is not None:
            write_json(_path(self._folder, self._decision), evidence.to_json())
        return evidence


def read_gate_evidence(folder: PipelineHome, decision: str) -> GateEvidence | None:
    """Return how a decision's challenger did on later rows; None before there were any."""
    try:
        return GateEvidence.from_json(json.loads(_path(folder, decision).read_bytes()))
    except FileNotFoundError:
        return None


def contest_of(config: Config, registry: Registry, decision: str, version: str, champion: str) -> Contest:
    """Return who is compared on which rows: none judges that either model, or the first look, knows.

    Raises RaypipeError where a version cannot be loaded, or the first look left nothing to go on by.
    """
    left = read_result(config.folder, decision)
    scale = None if left is None or left.comparison is None else left.comparison.scale
    if left is None or scale is None:
        raise DataError(f"the first look of {decision} must have left a scale to go on by. Got none.")
    # The rows that judged first are in the version that was collected for it.
    names = (left.data_version, *(_model(config, registry, one).data_version for one in (version, champion)))
    collected, *others = [_data(config, registry, name) for name in names]
    return Contest(
        champion=_loaded(config, registry, champion),
        challenger=_loaded(config, registry, version),
        champion_version=champion,
        challenger_version=version,
        scale=scale,
        margin=config.retraining.gate.margin,
        max_rows=config.retraining.gate.wait_labels,
        columns=collected.columns,
        time=config.data.time,
        redacted=frozenset(config.serving.capture.redact),
        learned=frozenset().union(*(live_ids(config.folder, one) for one in (collected, *others))),
        since=collected.created_at,
    )


def _loaded(config: Config, registry: Registry, version: str) -> Predictor:
    return load_predictor(config.folder.model(version), _model(config, registry, version).manifest_sha256)


def _model(config: Config, registry: Registry, version: str) -> ModelVersion:
    return registry.model_version(config.name, version)


def _data(config: Config, registry: Registry, name: str) -> DataVersion:
    found = registry.data_version(config.name, name)
    if found is None:
        raise UnknownVersion(f"a data version of the comparison must be known. Got {name!r}, which is not.")
    return found


def _path(folder: PipelineHome, decision: str) -> Path:
    return folder.root / "decisions" / f"{decision}.gate.json"
