"""A rollout over real files: an endpoint, its log and tables, what measures them, and a controller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from raypipe.control.actions import SetCanary
from raypipe.control.controller import Controller
from raypipe.control.endpoint import canary_of
from raypipe.control.events import Evidence, WindowScored
from raypipe.control.ledger import read_facts
from raypipe.control.outcome import Retrained
from raypipe.control.people import request_retrain
from raypipe.control.ports import Ports
from raypipe.control.receipts import Receipt, receipts, render
from raypipe.control.rollout_evidence import RolloutEvidence
from raypipe.control.rollout_watch import RolloutWatch, read_evidence
from raypipe.control.state import Watching
from raypipe.core.home import Home, PipelineHome
from raypipe.data.committer import commit_once, read_predictions
from raypipe.data.roles import read_role
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.store import Registry
from raypipe.serving.canaries import Canaries
from raypipe.serving.capture import open_capture
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.pointer import read_pointer
from raypipe.serving.releases import Releases
from raypipe.serving.swap import VersionHolder, load_version
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version, tiny_model
from raypipe.training.compare import Comparison

N_ROWS = 1_000
ROW = {"amount": 1.5, "size": 1, "colour": "red", "member": True, "seen": None}
SETTINGS = RetrainingSettings.model_validate(
    {
        "cool_down_s": 0,
        "rollout": {
            "shadow": {"share": 0.5, "deadline_s": 600},
            "canary": {"weights": [0.2, 0.5], "hold_s": 0, "deadline_s": 600, "slow_ms": 60_000},
        },
    }
)


@dataclass
class Place:
    """One pipeline's home in which v1 serves, and all that acts on it, in one process."""

    folder: PipelineHome
    clock: FakeClock
    registry: Registry
    versions: VersionHolder
    challenger: str = "v2"
    watch: RolloutWatch | None = None
    n_turns: int = 0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    watched: Callable[..., RolloutWatch] | None = None

    def turn(self) -> None:
        """Let clients ask, labels come, the log be committed, and the rollout be measured."""
        self.n_turns += 1
        self.clock.advance(10)
        capture = open_capture(self.folder, ServingSettings().capture, f"s{self.n_turns}", self.clock)
        endpoint = Endpoint(
            "tiny",
            ServingSettings(),
            versions=self.versions,
            capture=capture,
            clock=self.clock,
            replica=f"r{self.n_turns}",
        )
        reply = endpoint.predict(json.dumps({"rows": [ROW] * N_ROWS}).encode())
        assert reply.status == 200
        ids = [item["id"] for item in json.loads(reply.body)["predictions"]]
        truth = np.where(self.random.random(N_ROWS) < 0.7, "good", "bad").tolist()
        labels = [{"id": id_, "label": label} for id_, label in zip(ids, truth, strict=True)]
        assert endpoint.feedback(json.dumps({"labels": labels}).encode()).status == 200
        endpoint.close()
        commit_once(self.folder)
        if self.watch is not None:
            self.watch.look()

    def submit(self, decision: str) -> None: ...

    def state(self, decision: str) -> str:
        return "succeeded"

    def stop(self, decision: str) -> None: ...

    def result(self, decision: str) -> Retrained:
        compared = Comparison("auc", "v1", self.challenger, 400, 0.6, 0.8, 0.2, 0.1, 0.3)
        return Retrained(self.challenger, "d-0", "d-0", "tiny", {}, 1.0, compared)

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        return None

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        releases = Releases(self.registry, self.folder, controller=controller)
        return releases.promote(version, expected=expected, reason=reason).pointer.epoch

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        return True

    def measured_by(self, decision: str, version: str, champion: str | None) -> None:
        rollout = SETTINGS.rollout
        self.watch = RolloutWatch(
            self.folder,
            self.registry,
            rollout,
            self.clock,
            decision=decision,
            version=version,
            champion=champion or "",
        )

    @property
    def controller(self) -> Controller:
        ports = Ports(jobs=self, traffic=self, releases=self, alerts=self, rollout=Port(self))  # type: ignore[arg-type]
        return Controller("tiny", SETTINGS, self.registry, self.clock, ports)

    @property
    def receipt(self) -> Receipt:
        [found] = receipts([fact for _, fact in read_facts(self.registry, "tiny")], "tiny")
        return found


@dataclass
class Port:
    place: Place

    def watch(self, decision: str, version: str, champion: str | None) -> None:
        if self.place.watch is None:
            self.place.measured_by(decision, version, champion)

    def evidence(self, decision: str) -> RolloutEvidence | None:
        return read_evidence(self.place.folder, decision)

    def set_canary(self, canary: SetCanary, controller: int) -> int:
        terms = SETTINGS.rollout.canary
        assert terms is not None
        return self._canaries(controller).put(canary_of(canary, terms), canary.champion or "").epoch

    def end(self, decision: str, controller: int) -> None:
        self._canaries(controller).withdraw()
        self.place.watch = None

    def _canaries(self, controller: int) -> Canaries:
        return Canaries(Releases(self.place.registry, self.place.folder, controller=controller))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    home, clock = Home(tmp_path), FakeClock()
    home.prepare()
    folder, registry = home.pipeline("tiny"), Registry(home.registry_url, clock)
    for good in (0.6, 0.7, 0.02):
        register_tiny_version(registry, folder, model=tiny_model(good))
    Releases(registry, folder).release("v1", expected=None, reason="the first")
    yield Place(folder, clock, registry, VersionHolder(folder.pointer, partial(load_version, folder), clock))


def lived(place: Place, n_turns: int = 40) -> Controller:
    """Let a retrain make the challenger, and all go on until there is a verdict."""
    place.turn()
    request_retrain(place.registry, "tiny", place.clock, by="ann")
    controller = place.controller
    controller.start()
    for _ in range(n_turns):
        controller.tick()
        place.versions.poll()
        if place.receipt.ending != "open":
            return controller
        place.turn()
    raise AssertionError(f"no verdict in {n_turns} turns: {controller.state}")


def test_a_good_challenger_goes_all_the_way(place: Place) -> None:
    controller = lived(place)
    assert place.receipt.ending == "promoted"
    assert [type(one).__name__ for one in place.receipt.rollout] == [
        "ShadowJudged",
        "CanaryStepped",
        "CanaryStepped",
        "CanaryJudged",
    ]
    pointer = read_pointer(place.folder.pointer)
    assert pointer is not None
    assert (pointer.version, pointer.canary) == ("v2", None)
    place.versions.poll()
    assert place.versions.current.loaded.pointer == pointer
    assert (controller.state.phase, controller.state.exposed, place.watch) == (Watching(), None, None)
    said = "\n".join(render(place.receipt))
    assert "to 20% of the traffic" in said
    rows = read_predictions(place.folder)
    arms = [read_role(role) for role in rows["role"].to_pylist()]
    versions = rows["version"].to_pylist()
    by_canary = [role for role, version in zip(arms, versions, strict=True) if version == "v2" and role]
    assert {role.arm for role in by_canary} == {"canary"}
    assert 0 < len(by_canary) <= sum(getattr(one, "max_rows", 0) for one in place.receipt.rollout)


def test_a_bad_one_is_taken_back_before_any_client_sees_it(place: Place) -> None:
    place.challenger = "v3"
    lived(place)
    assert place.receipt.ending == "withdrawn"
    assert "losses are higher" in place.receipt.reason
    assert set(read_predictions(place.folder)["version"].to_pylist()) == {"v1"}
    assert place.registry.alias("tiny", "champion") == "v1"


def test_a_measurement_begun_anew_comes_to_the_same(place: Place) -> None:
    place.turn()
    place.measured_by("tiny-retrain-1", "v2", "v1")
    assert place.watch is not None
    for _ in range(3):
        place.turn()
    first = place.watch.look()
    place.measured_by("tiny-retrain-1", "v2", "v1")
    again = place.watch.look()
    assert first.shadow is not None
    assert again.shadow is not None
    assert first.shadow.n_rows == again.shadow.n_rows > 1_000
    assert first.baseline.n_labels == again.baseline.n_labels == 4 * N_ROWS
    assert again.shadow.higher.total == pytest.approx(first.shadow.higher.total)
    assert again.shadow.lower.log_wealth == pytest.approx(first.shadow.lower.log_wealth)


def test_a_controller_that_was_replaced_puts_nobody_beside_the_champion(place: Place) -> None:
    from raypipe.core.errors import StaleEpoch

    old = place.registry.take_over("tiny")
    place.registry.take_over("tiny")
    canary = SetCanary("tiny-retrain-1", "v2", "v1", 0, 0.2, 100)
    before = read_pointer(place.folder.pointer)
    with pytest.raises(StaleEpoch, match="another has taken over"):
        Port(place).set_canary(canary, old)
    assert read_pointer(place.folder.pointer) == before


def test_a_canary_is_put_once_and_taken_away_once(place: Place) -> None:
    newest = place.registry.take_over("tiny")
    port, canary = Port(place), SetCanary("tiny-retrain-1", "v2", "v1", 0, 0.2, 100)
    epochs = {port.set_canary(canary, newest) for _ in range(3)}
    assert len(epochs) == 1
    for _ in range(3):
        port.end("tiny-retrain-1", newest)
    changes = [(one.version, one.reason) for one in place.registry.alias_history("tiny", "champion")]
    assert changes == [
        ("v1", "v2 answers no more beside it"),
        ("v1", "v2 answers 20% of the rows beside it"),
        ("v1", "the first"),
    ]
    pointer = read_pointer(place.folder.pointer)
    assert pointer is not None
    assert pointer.canary is None


def test_the_status_tells_how_it_goes(place: Place, tmp_path: Path) -> None:
    from raypipe.api.status import _rollout
    from raypipe.config.load import parse_config
    from raypipe.control.people import read_state

    source = {"name": "f", "format": "csv", "path": "rows.csv"}
    data = {"sources": [source], "label": "outcome"}
    config = parse_config({"name": "tiny", "home": str(tmp_path), "data": data}, tmp_path)
    place.turn()
    request_retrain(place.registry, "tiny", place.clock, by="ann")
    controller = place.controller
    controller.start()
    seen = list[str]()
    for _ in range(12):
        controller.tick()
        place.versions.poll()
        place.turn()
        seen += _rollout(config, read_state(place.registry, "tiny"))
    said = "\n".join(seen)
    assert "v2 in the shadow of v1" in said
    assert "rows asked: 100.0% agree with the champion, mean difference 0.1" in said
    assert "v2 answers 20% beside v1" in said
    assert "rows of clients: 0 failed, 0 slow" in said
    assert _rollout(config, read_state(place.registry, "tiny")) == ()
