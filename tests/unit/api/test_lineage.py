"""Where an answer comes from, and that its version still gives it, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from raypipe.api.lineage import Lineage, lineage
from raypipe.cli.lineage import _lines
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.control.events import (
    Approved,
    ControllerStarted,
    Evidence,
    GateJudged,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import record
from raypipe.core.errors import UnknownVersion
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.wal import WalWriter
from raypipe.registry.store import Registry
from raypipe.serving.capture import open_capture
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.releases import Releases
from raypipe.serving.swap import VersionHolder, load_version
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, register_tiny_version, tiny_model, trained_tiny_model

CLOCK = FakeClock()
ROW = {"amount": 3.25, "size": 7, "colour": "blue", "member": False, "seen": None}
DECISION = "tiny-retrain-1"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    sources = [{"name": "f", "format": "csv", "path": "rows.csv"}]
    data = {"sources": sources, "label": "outcome"}
    found = parse_config({"name": "tiny", "home": "home", "data": data}, tmp_path)
    found.root.prepare()
    return found


@pytest.fixture
def registry(config: Config) -> Registry:
    """Return a registry in which a decision made v2, which ann approved."""
    found = Registry(config.root.registry_url, CLOCK)
    releases = Releases(found, config.folder)
    for family in ("linear", "xgboost"):
        register_tiny_version(found, config.folder, model=trained_tiny_model(family, TINY_TASK))
    releases.release("v1", expected=None, reason="the first")
    now = CLOCK.now()
    for fact in (
        ControllerStarted(now, 1, "v1", 1),
        RetrainDecided(now, DECISION, "labels", Evidence(n_labels=500), "v1"),
        RetrainSubmitted(now, DECISION),
        RetrainSucceeded(now, DECISION, "v2", "d-0"),
        GateJudged(now, DECISION, "v2", "v1", "pass", 400),
        Approved(now, "v2", "ann", "fine"),
    ):
        record(found, "tiny", fact)
    releases.release("v2", expected="v1", reason=f"{DECISION} passed its gate")
    return found


def keep(config: Config, *records: PredictionRecord | LabelRecord) -> None:
    writer = WalWriter(config.folder.wal, f"s{len(records)}", CLOCK)
    writer.open()
    writer.append_all([encode(one) for one in records])
    writer.close()
    commit_once(config.folder)


def answered(config: Config) -> list[str]:
    """Answer some rows, as a replica does, and return their ids."""
    versions = VersionHolder(config.folder.pointer, partial(load_version, config.folder), CLOCK)
    capture = open_capture(config.folder, config.serving.capture, "r1", CLOCK)
    endpoint = Endpoint("tiny", config.serving, versions=versions, capture=capture, clock=CLOCK, replica="r1")
    rows = [{**ROW, "size": size} for size in range(40)]
    reply = endpoint.predict(json.dumps({"rows": rows}).encode())
    endpoint.close()
    commit_once(config.folder)
    return [item["id"] for item in json.loads(reply.body)["predictions"]]


def test_an_answer_is_traced_and_given_again(config: Config, registry: Registry) -> None:
    ids = answered(config)
    keep(config, LabelRecord(ids[7], "good", CLOCK.now()))
    for id_ in ids:
        found = lineage(config, registry, id_)
        assert found.prediction is not None
        assert found.prediction.rescored == "equal to the bit"
    traced = lineage(config, registry, ids[7])
    assert traced.prediction is not None
    assert (traced.prediction.label, traced.prediction.version) == ('"good"', "v2")
    assert json.loads(traced.prediction.inputs)["size"] == 7
    assert traced.decision is not None
    assert (traced.decision.decision, traced.approver) == (DECISION, "ann")
    assert [one.reason for one in traced.releases] == [f"{DECISION} passed its gate"]
    assert traced.source.id == "d-0"
    assert traced.code is not None
    assert "xgboost" in traced.code.frameworks or traced.code.frameworks == {}
    said = "\n".join(_lines(traced))
    assert "asked again: equal to the bit" in said
    assert "approver   ann" in said


def test_an_answer_that_its_version_does_not_give_is_told(config: Config, registry: Registry) -> None:
    text = json.dumps(ROW)
    keep(config, PredictionRecord("odd", CLOCK.now(), "v2", "champion", text, "good", (0.25, 0.75)))
    found = lineage(config, registry, "odd").prediction
    assert found is not None
    assert found.rescored == "differs"
    assert "it answers" in found.why


def test_a_canary_whose_classes_are_in_another_order_gave_the_same(
    config: Config, registry: Registry
) -> None:
    """It answers clients in the champion's classes, and so stands in the log."""
    turned = replace(TINY_TASK, classes=TINY_TASK.classes[::-1])
    register_tiny_version(registry, config.folder, model=tiny_model(0.75), task=turned)
    epoch = registry.alias_history("tiny", "champion")[0].epoch
    canary = PredictionRecord("c", CLOCK.now(), "v3", f"canary@{epoch}", json.dumps(ROW), "bad", (0.75, 0.25))
    other = PredictionRecord("d", CLOCK.now(), "v3", canary.role, canary.inputs, "good", (0.25, 0.75))
    keep(config, canary, other)
    found, differs = (lineage(config, registry, id_).prediction for id_ in ("c", "d"))
    assert found is not None and (found.rescored, found.why) == ("equal to the bit", "")
    assert differs is not None and differs.rescored == "differs"


def test_an_answer_of_what_is_damaged_is_told(config: Config, registry: Registry) -> None:
    id_ = answered(config)[0]
    (config.folder.model("v2") / "golden.json").unlink()
    with pytest.raises(UnknownVersion, match="id of a captured answer"):
        lineage(config, registry, "nobody")
    found = lineage(config, registry, id_).prediction
    assert found is not None
    assert (found.rescored, "golden.json" in found.why) == ("not possible", True)


@pytest.mark.parametrize(("name", "version"), [("v1", "v1"), ("champion", "v2")])
def test_a_version_is_traced_by_its_name_or_alias(
    config: Config, registry: Registry, name: str, version: str
) -> None:
    found: Lineage = lineage(config, registry, name)
    assert (found.version, found.prediction) == (version, None)
    value = found.to_json()
    assert isinstance(value, dict)
    assert value["approver"] == (None if version == "v1" else "ann")
    assert len(found.releases) == 1
