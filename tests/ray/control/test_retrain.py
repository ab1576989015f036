"""One small real retrain: rows of the sources, live rows of another concept, a race, a comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from xgboost import Booster

from raypipe.api.reproduce import N_CAPTURED, reproduce
from raypipe.config.load import parse_config
from raypipe.control.events import (
    ControllerStarted,
    Evidence,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import record
from raypipe.control.traffic import CapturedTraffic, read_window, scored
from raypipe.core.ids import Json
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.growth import live_ids
from raypipe.data.synthetic import COLUMNS, AgrawalSettings, generate
from raypipe.data.wal import WalWriter
from raypipe.pipeline import Outcome
from raypipe.processing.stored import read_transform
from raypipe.registry.manifest import read_manifest
from raypipe.registry.store import Registry
from raypipe.retraining import RetrainingLoop
from raypipe.testing import FakeClock
from raypipe.training.compare import Comparison
from raypipe.training.kept import RunFolder
from raypipe.training.prepared import Prepared
from raypipe.training.trials import Trials

pytestmark = pytest.mark.usefixtures("local_ray")

N_HISTORY, N_LIVE, DECISION = 2_000, 800, "credit-retrain-1"
START = datetime(2026, 1, 31, tzinfo=UTC)


@contextmanager
def two_cpus() -> Iterator[Trials]:
    yield Trials(cpus_per_trial=1.0, max_concurrent=2)


@dataclass(frozen=True)
class Retrained:
    loop: RetrainingLoop
    outcome: Outcome
    prepared: Prepared
    comparison: Comparison
    live: pa.Table


def looped(place: Path) -> RetrainingLoop:
    parquet.write_table(
        generate(AgrawalSettings(((N_HISTORY, 2),), seed=1)).select([*COLUMNS, "group"]),
        place / "rows.parquet",
    )
    config = parse_config(
        {
            "name": "credit",
            "home": "home",
            "data": {
                "sources": [{"name": "files", "format": "parquet", "path": "rows.parquet"}],
                "label": "group",
            },
            "training": {"families": ["xgboost"], "metric": "accuracy", "budget": {"trials": 4}},
        },
        place,
    )
    config.root.prepare()
    clock = FakeClock()
    return RetrainingLoop(config, Registry(config.root.registry_url, clock), clock, two_cpus)


def capture(
    loop: RetrainingLoop, rows: pa.Table, version: str, stream: str = "s1", start: datetime = START
) -> None:
    """Write answered rows and their labels through the log into the tables."""
    writer = WalWriter(loop.config.folder.wal, stream, loop.clock)
    writer.open()
    for n, row in enumerate(rows.to_pylist()):
        at, label = start + timedelta(seconds=n), row.pop("group")
        id = f"{stream}-{n}"
        answer = PredictionRecord(id, at, version, "champion", json.dumps(row), "A", (0.9, 0.1))
        writer.append_all([encode(answer), encode(LabelRecord(id, label, at + timedelta(minutes=5)))])
    writer.close()
    commit_once(loop.config.folder)


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Retrained:
    loop = looped(tmp_path_factory.mktemp("loop"))
    first = loop.run()
    loop.releases.release(first.version.version, expected=None, reason="the first")
    live = generate(AgrawalSettings(((N_LIVE, 3),), seed=2)).select([*COLUMNS, "group"])
    capture(loop, live, first.version.version)
    outcome, prepared = loop.retrain(DECISION)
    return Retrained(loop, outcome, prepared, loop.compare(outcome.version, prepared), live)


def keys(rows: pa.Table) -> list[tuple[Json, ...]]:
    """Return what tells rows apart: their salary and loan are drawn from ranges of numbers."""
    return list(zip(rows["salary"].to_pylist(), rows["loan"].to_pylist(), strict=True))


def test_the_challenger_learns_from_live_rows(retrained: Retrained) -> None:
    split, data = retrained.prepared.split, retrained.outcome.data
    assert (data.n_rows, len(live_ids(retrained.loop.config.folder, data))) == (N_HISTORY + N_LIVE, N_LIVE)
    assert retrained.outcome.version.data_version == data.id
    live = set(keys(retrained.live))
    assert (
        sum(key in live for key in keys(split.train))
        == N_LIVE - split.validation.num_rows - split.test.num_rows
    )


def test_it_is_surely_better_on_the_new_concept(retrained: Retrained) -> None:
    found = retrained.comparison
    assert (found.champion, found.challenger, found.metric) == ("v1", "v2", "accuracy")
    assert found.n_rows == retrained.prepared.split.test.num_rows >= 100
    assert found.gain_low is not None and found.gain_low > 0
    assert found.challenger_score is not None and found.challenger_score > 0.8


def test_the_newest_rows_judge_and_neither_version_has_seen_them(retrained: Retrained) -> None:
    split = retrained.prepared.split
    test, validation = keys(split.test), keys(split.validation)
    assert test == keys(retrained.live)[-len(test) :]
    assert validation == keys(retrained.live)[-len(test) - len(validation) : -len(test)]
    assert set(test).isdisjoint(validation)
    assert set(test).isdisjoint(keys(split.train)) and set(validation).isdisjoint(keys(split.train))
    history = generate(AgrawalSettings(((N_HISTORY, 2),), seed=1))
    assert set(test).isdisjoint(keys(history)), "the champion learned from rows of the sources alone"


def test_live_traffic_is_measured_once_for_each_commit(retrained: Retrained) -> None:
    """The change of concept is in the labels alone: no input drifts."""
    loop = retrained.loop
    folder = loop.config.folder
    traffic = CapturedTraffic(folder, loop.registry, loop.config.monitoring)
    window = traffic.measure("v1", START)
    assert window is not None and window.quality is not None
    assert (window.version, window.n_labels, window.drifted) == ("v1", N_LIVE, ())
    assert (window.quality.metric, window.quality.larger_is_better) == ("accuracy", True)
    report = read_window(folder)
    assert report is not None and scored(report) == window
    assert traffic.measure("v1", START) is None
    assert traffic.measure("v2", START) is not None, "another champion is another window"
    assert CapturedTraffic(folder, loop.registry, loop.config.monitoring).measure("v1", START) == window


def test_a_decision_carried_out_again_finds_what_it_made(retrained: Retrained) -> None:
    """New labels have come meanwhile: what they would let judge may have been trained on."""
    loop = retrained.loop
    late = generate(AgrawalSettings(((400, 3),), seed=3)).select([*COLUMNS, "group"])
    capture(loop, late, "v1", "s2", START - timedelta(hours=1))
    outcome, prepared = loop.retrain(DECISION)
    assert (outcome.is_new, outcome.version) == (False, retrained.outcome.version)
    assert outcome.data.id == retrained.outcome.data.id
    assert keys(prepared.split.test) == keys(retrained.prepared.split.test)
    assert loop.compare(outcome.version, prepared) == retrained.comparison


def test_both_versions_are_learned_anew_from_what_is_recorded(retrained: Retrained) -> None:
    """Also the one that was made by a race over Ray of live rows, of which some chose and judged."""
    loop, data = retrained.loop, retrained.outcome.data
    at = loop.clock.now()
    for fact in (
        ControllerStarted(at, 1, "v1", 1),
        RetrainDecided(at, DECISION, "hand", Evidence(), "v1"),
        RetrainSubmitted(at, DECISION),
        RetrainSucceeded(
            at, DECISION, "v2", data.id, loop.registry.model_version("credit", "v1").data_version
        ),
    ):
        record(loop.registry, "credit", fact)
    for version in ("v1", "v2"):
        found = reproduce(loop.config, loop.registry, version)
        assert (found.likeness, found.differences, found.n_threads) == ("equal files", (), 1)
        # What the log has as answers of v1 no model gave.
        assert found.captured.n_rows == (N_CAPTURED if version == "v1" else 0)
    assert found.golden.is_equal and found.data_version == data.id


def test_a_champion_that_changes_meanwhile_is_not_judged_on_rows_it_may_know(retrained: Retrained) -> None:
    loop, version = retrained.loop, retrained.outcome.version
    loop.releases.release(version.version, expected="v1", reason="by hand")
    try:
        assert loop.compare(version, retrained.prepared).champion == "v1"
    finally:
        loop.releases.release("v1", expected=version.version, reason="back")


def test_once_promoted_its_rows_judge_no_more(retrained: Retrained) -> None:
    loop, version = retrained.loop, retrained.outcome.version
    loop.releases.release(version.version, expected="v1", reason="better")
    newer = generate(AgrawalSettings(((200, 3),), seed=4)).select([*COLUMNS, "group"])
    capture(loop, newer, version.version, "s3", START + timedelta(hours=1))
    prepared = loop.prepare_grown(loop.grow())
    known = set(keys(retrained.live))
    assert known.isdisjoint(keys(prepared.split.test)) and known.isdisjoint(keys(prepared.split.validation))
    assert known <= set(keys(prepared.split.train))


def test_a_refit_keeps_the_champions_parameters_and_searches_for_none(retrained: Retrained) -> None:
    loop = retrained.loop
    champion = loop.registry.alias("credit", "champion") or ""
    of = loop.registry.model_version("credit", champion)
    before = read_manifest(loop.config.folder.model(champion), of.manifest_sha256)
    outcome, prepared = loop.retrain("credit-retrain-9", "refit")
    best = outcome.leaderboard.best
    assert (best.family, dict(best.params)) == (before.family, dict(before.params))
    kept = RunFolder(loop.config.folder.runs / outcome.run).race()
    assert kept is not None and [trial.family for trial in kept.trials] == [before.family]
    assert kept.trials[0].held_s >= kept.trials[0].train_s > 0
    assert prepared.transform.to_json() != read_transform(loop.config.folder.model(champion)).to_json()


def test_an_earlier_champion_is_judged_on_rows_that_are_new_to_both(retrained: Retrained) -> None:
    loop = retrained.loop
    champion = loop.registry.alias("credit", "champion") or ""
    newest = generate(AgrawalSettings(((300, 2),), seed=5)).select([*COLUMNS, "group"])
    capture(loop, newest, champion, "s5", START + timedelta(hours=2))
    version, judging = loop.earlier()
    assert (version.version, judging.champion) == ("v1", champion)
    known = {*keys(retrained.prepared.split.train), *keys(retrained.live)}
    assert known.isdisjoint(keys(judging.split.test)) and judging.split.test.num_rows == 500
    assert judging.split.train.num_rows == 0
    compared = loop.compare(version, judging)
    assert (compared.challenger, compared.champion, compared.n_rows) == ("v1", champion, 500)
    assert compared.gain is not None and compared.gain > 0, "the concept of the history is back"


def test_training_goes_on_from_the_champion_on_the_rows_that_are_new_to_it(retrained: Retrained) -> None:
    loop = retrained.loop
    champion = loop.registry.alias("credit", "champion") or ""
    place = loop.config.folder.model(champion)
    outcome, prepared = loop.retrain("credit-retrain-10", "continue")
    assert prepared.note == "" and prepared.recipe is not None and prepared.recipe.start is not None
    assert (prepared.recipe.start.version, outcome.leaderboard.best.family) == (champion, "xgboost")
    assert prepared.transform.to_json() == read_transform(place).to_json()
    assert set(keys(retrained.live)).isdisjoint(keys(prepared.split.train)), "the champion has learned these"
    made = loop.config.folder.model(outcome.version.version)
    before, after = (
        Booster(model_file=one / "model" / "model.ubj").num_boosted_rounds() for one in (place, made)
    )
    assert after > before
    assert loop.compare(outcome.version, prepared).challenger_error == ""
