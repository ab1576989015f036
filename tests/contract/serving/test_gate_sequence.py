"""A gate that goes on, over real files: the log, its tables, what scores both models, and a controller."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from raypipe.config.settings import Config
from raypipe.control.controller import Controller
from raypipe.control.events import Evidence, WindowScored
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.gate_watch import GateWatch, read_gate_evidence
from raypipe.control.ledger import read_facts
from raypipe.control.outcome import Retrained, read_result, write_result
from raypipe.control.people import request_retrain
from raypipe.control.ports import Ports
from raypipe.control.receipts import Receipt, receipts
from raypipe.core.errors import RaypipeError
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.growth import grow
from raypipe.data.wal import WalWriter
from raypipe.registry.datasets import PipelineVersions
from raypipe.registry.store import Registry
from raypipe.stats.gains import Scale
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, register_tiny_version, tiny_model
from raypipe.training.compare import Comparison

DECISION = "tiny-retrain-1"
TASK = replace(TINY_TASK, metric="accuracy")
OPEN = Comparison("accuracy", "v1", "v2", 200, 0.6, 0.62, 0.02, -0.03, 0.07, scale=Scale(10, 0.4))
ROW = {"amount": 1.5, "size": 1, "colour": "red", "member": True, "seen": "2026-01-31T12:00:00+00:00"}
LINES = ("amount,size,colour,member,seen,outcome", *["1.5,1,red,true,2026-01-31T12:00:00+00:00,bad"] * 20)


@dataclass
class Place:
    """One pipeline's home: v1 serves and says `bad`, v2 is its challenger and says `good`."""

    config: Config
    clock: FakeClock
    registry: Registry
    watch: GateWatch | None = None
    n_streams: int = 0
    ended: list[str] = field(default_factory=list)

    def capture(self, ids: Iterable[str], label: str, *, answered: bool = True) -> None:
        """Let rows be answered, and labelled ten seconds later."""
        self.n_streams += 1
        at, inputs, ids = self.clock.now(), json.dumps(ROW), list(ids)
        given = [PredictionRecord(one, at, "v1", "champion", inputs, "bad", (0.9, 0.1)) for one in ids]
        self.clock.advance(10)
        labels = [LabelRecord(one, label, self.clock.now()) for one in ids]
        writer = WalWriter(self.config.folder.wal, f"s{self.n_streams}", self.clock)
        writer.open()
        writer.append_all([encode(record) for record in ([*given, *labels] if answered else labels)])
        writer.close()
        commit_once(self.config.folder)

    def new_watch(self, decision: str = DECISION) -> GateWatch:
        return GateWatch(
            self.config, self.registry, self.clock, decision=decision, version="v2", champion="v1"
        )

    @property
    def controller(self) -> Controller:
        ports = Ports(jobs=self, traffic=self, releases=self, alerts=self, sequence=self)
        return Controller("tiny", self.config.retraining, self.registry, self.clock, ports)

    @property
    def receipt(self) -> Receipt:
        [found] = receipts([fact for _, fact in read_facts(self.registry, "tiny")], "tiny")
        return found

    def watch_gate(self, decision: str, version: str, champion: str | None) -> None:
        assert (version, champion) == ("v2", "v1")
        self.watch = self.watch or self.new_watch(decision)

    def end_gate(self, decision: str) -> None:
        self.watch = None
        self.ended.append(decision)

    def gate_evidence(self, decision: str) -> GateEvidence | None:
        return read_gate_evidence(self.config.folder, decision)

    def submit(self, decision: str) -> None:
        write_result(self.config.folder, decision, Retrained("v2", "d-0", "d-0", comparison=OPEN))

    def state(self, decision: str) -> str:
        return "succeeded" if decision == DECISION else "unknown"

    def stop(self, decision: str) -> None: ...

    def result(self, decision: str) -> Retrained | None:
        return read_result(self.config.folder, decision)

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        return None

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        return self.registry.set_alias(
            "tiny", "champion", version, expected=expected, reason=reason, controller=controller
        ).epoch

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        return True


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "rows.csv").write_text("\n".join(LINES) + "\n")
    config = Config.model_validate(
        {
            "name": "tiny",
            "home": str(tmp_path / "home"),
            "data": {
                "sources": [{"name": "files", "format": "csv", "path": str(tmp_path / "rows.csv")}],
                "label": "outcome",
            },
            "retraining": {"cool_down_s": 0, "gate": {"wait_labels": 300}},
        }
    )
    clock = FakeClock()
    config.root.prepare()
    registry = Registry(config.root.registry_url, clock)
    for good in (0.1, 0.9):
        register_tiny_version(registry, config.folder, model=tiny_model(good), task=TASK)
    registry.set_alias("tiny", "champion", "v1", reason="the first")
    found = Place(config, clock, registry)
    found.capture((f"learned{n}" for n in range(50)), "good")
    versions = PipelineVersions(registry, "tiny")
    made = grow(config.data, config.folder, versions, clock=clock)
    versions.add(replace(made, id="d-0"))
    return found


def lived(place: Place, *looks: Iterable[tuple[str, str]]) -> Controller:
    """Let a retrain make v2, and rows be labelled between looks."""
    request_retrain(place.registry, "tiny", place.clock, by="ann")
    controller = place.controller
    controller.start()
    for _ in range(3):
        controller.tick()
    for number, _ in enumerate(looks):
        for label in ("good", "bad"):
            ids = [id_ for id_, said in looks[number] if said == label]
            if ids:
                place.capture(ids, label)
        if place.watch is not None:
            place.watch.look()
        controller.tick()
    return controller


def rows(prefix: str, n: int, label: str = "good") -> list[tuple[str, str]]:
    return [(f"{prefix}{i}", label) for i in range(n)]


def test_later_rows_decide_and_none_that_was_learned_from(place: Place) -> None:
    place.clock.advance(5)
    # Labels of rows that v2 learned from are corrected: they judge nothing all the same.
    place.capture((f"learned{n}" for n in range(50)), "bad", answered=False)
    controller = lived(place, rows("a", 80), rows("b", 80))
    receipt = place.receipt
    assert receipt.first_look is not None and receipt.gate is not None
    assert (receipt.ending, receipt.gate.verdict, receipt.gate.n_rows) == ("promoted", "pass", 160)
    assert receipt.gate.champion_score == 0.0 and receipt.gate.challenger_score == 1.0
    assert place.registry.alias("tiny", "champion") == "v2"
    controller.tick()
    assert place.ended == [DECISION] and place.watch is None


def test_what_measures_may_die_at_any_look(place: Place) -> None:
    lived(place, rows("a", 40), rows("c", 40, "bad"), rows("b", 13))
    known = read_gate_evidence(place.config.folder, DECISION)
    assert known is not None and known.found.n_rows == 93
    assert place.receipt.ending == "open"
    place.capture(["late"], "good")
    again = place.new_watch()
    found = again.look()
    assert found is not None and found.found.n_rows == 94
    assert place.watch is not None and place.watch.look() == found
    assert again.look() == found, "nothing has come since"


@pytest.mark.parametrize(("label", "ending"), [("bad", "not better"), ("good", "promoted")])
def test_either_way(place: Place, label: str, ending: str) -> None:
    lived(place, rows("a", 150, label))
    assert place.receipt.ending == ending


def test_without_labels_the_deadline_ends_it(place: Place) -> None:
    controller = lived(place, [])
    place.clock.advance(3_600)
    controller.tick()
    assert (place.receipt.ending, place.registry.alias("tiny", "champion")) == ("inconclusive", "v1")


def test_rows_that_are_gone_count_no_more(place: Place) -> None:
    lived(place, rows("a", 40))
    assert place.watch is not None
    from deltalake import DeltaTable

    DeltaTable(str(place.config.folder.predictions)).delete("id = 'a7'")
    found = place.watch.look()
    assert found is not None and found.found.n_rows == 39


def test_a_first_look_that_left_nothing_to_go_on_by_is_said(place: Place) -> None:
    write_result(place.config.folder, DECISION, Retrained("v2", comparison=replace(OPEN, scale=None)))
    with pytest.raises(RaypipeError, match="must have left a scale to go on by"):
        place.new_watch()
