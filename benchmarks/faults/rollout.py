"""Kills in a rollout: of the controller in each of its phases, and of replicas in mid-canary."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.faults.audit import captured
from benchmarks.faults.load import level_before, normal_at
from benchmarks.faults.place import Place, wait_for
from benchmarks.faults.rows import AFTER_S, WARM_S, Measured, add_load, audit, settle, struck_after, when
from benchmarks.faults.sniper import lie_in_wait
from benchmarks.faults.special import TWO, Make
from benchmarks.faults.strikes import ask_retrain, has_announced, replicas_heard
from benchmarks.webhook import webhook
from raypipe.control.events import RetrainDecided
from raypipe.control.people import answer, read_state
from raypipe.control.rollout_events import CanarySet, CanaryStepped
from raypipe.control.state import Watching
from raypipe.core.clock import SystemClock
from raypipe.data.committer import read_predictions
from raypipe.data.roles import read_role

CONTROLLER, REPLICA = "_ControllerActor", "ServeReplica"
LIMIT_S = 150.0
ROLLOUT = {
    "shadow": {"share": 0.5, "margin": 0.1, "min_rows": 50, "deadline_s": 60},
    "canary": {
        "weights": [0.1, 0.5],
        "hold_s": 2,
        "tolerance": 3.0,
        "harm": 3.0,
        "slow_ms": 5_000,
        "deadline_s": 60,
    },
}
GATE = {"min_rows": 80, "max_rows": 300, "margin": 0.2}


@dataclass(frozen=True)
class Moment:
    """When to strike: `delay_s` after the ledger has the entry of a kind that follows `nth` others.

    `label` asks for this one alone.
    """

    label: str
    name: str
    kind: str
    delay_s: float = 0.0
    nth: int = 0
    target: str = CONTROLLER
    person: Literal["nothing", "rejects", "rolls back"] = "nothing"


MOMENTS = (
    Moment("registering", "the controller, registering", "model_registered"),
    Moment("shadow", "the controller, in a shadow", "event.shadow_started", 0.5),
    Moment("pointing", "the controller, before the pointer names its canary", "event.canary_stepped"),
    Moment("canary", "the controller, in a canary's first step", "event.canary_set", 0.5),
    Moment("second-step", "the controller, in its second step", "event.canary_set", 0.5, nth=1),
    Moment("promoting", "the controller, promoting", "event.canary_judged"),
    Moment("withdrawing", "the controller, taking a canary back", "event.rejected", person="rejects"),
    Moment("rollback", "the controller, as a person rolls back", "alias_moved", person="rolls back"),
)
IN_CANARY = "event.canary_set"


def phases(moments: Sequence[Moment], make: Make, n_tries: int) -> Iterator[Measured]:
    """Kill the controller at these moments of a rollout."""
    yield from _measured(make, moments, n_tries)


def only_replica(make: Make, n_tries: int) -> Iterator[Measured]:
    """Kill the only replica while a canary answers in it."""
    moment = Moment("", "the only replica, in mid-canary", IN_CANARY, 1.0, target=REPLICA)
    yield from _measured(make, [moment], n_tries)


def canary_of_two(make: Make, n_tries: int) -> Iterator[Measured]:
    """Kill one of two replicas while a canary answers in both."""
    moment = Moment("", "one replica of two, in mid-canary", IN_CANARY, 1.0, target=REPLICA)
    yield from _measured(make, [moment], n_tries, serving={"replicas": TWO})


def _measured(make: Make, moments: Sequence[Moment], n_tries: int, **changes: object) -> Iterator[Measured]:
    with webhook() as (url, told):
        by_hand = {"drift": "off", "harm": "off"}
        policy = {"rollout": ROLLOUT, "gate": GATE, "triggers": by_hand, "alerts": {"webhook": url}}
        with make(retraining=policy, **changes) as place:
            place.told = told
            for moment in moments:
                found = Measured(moment.name)
                for _ in range(n_tries):
                    _try(place, moment, found)
                yield found


def _try(place: Place, moment: Moment, found: Measured) -> None:
    retrains = moment.person != "rolls back"
    if retrains:
        place.change_concept()
    settle(place)
    before, after_seq, load = captured(place), place.last_seq(), place.labelled()
    load.start()
    try:
        time.sleep(WARM_S)
        struck_at, works = _strike(place, moment, after_seq)
        works_at = when(works)
        if retrains:
            wait_for(lambda: _is_over(place, after_seq), "end of the decision", LIMIT_S, 0.2)
        time.sleep(AFTER_S)
    finally:
        load.stop()
    add_load(found, load)
    normal = None if works_at is None else normal_at(load.times, struck_at, works_at)
    found.levels.append(level_before(load.times, struck_at))
    found.normal_s.append(None if normal is None else normal - struck_at)
    found.books += audit(place, before, after_seq, load.ids)
    found.struck_after[struck_after(place, after_seq)] += 1
    _tell_of_canary(place, moment, after_seq)


def _strike(place: Place, moment: Moment, after_seq: int) -> tuple[float, Callable[[], bool]]:
    """Strike a retrain or rollback in that moment; return when, and what tells that the struck is back."""
    pid, heard = place.processes(moment.target)[0].pid, replicas_heard(place)
    database = place.config.root.root / "raypipe.db"
    name = place.config.name
    sniper = lie_in_wait(database, name, after_seq, moment.kind, moment.delay_s, pid, moment.nth)
    if moment.person == "rolls back":
        place.run("rollback")
    else:
        ask_retrain(place)
    if moment.person == "rejects":
        fact = wait_for(lambda: _first_canary(place, after_seq), "canary", LIMIT_S)
        answer(place.registry, name, SystemClock(), fact.version, approved=False, by="benchmark")
    told, _ = sniper.communicate(timeout=LIMIT_S)
    if moment.target == CONTROLLER:
        return float(told), partial(has_announced, place, after_seq)
    return float(told), lambda: bool(replicas_heard(place, 1) - heard)


def _first_canary(place: Place, after_seq: int) -> CanarySet | None:
    return next((fact for fact in place.facts(after_seq) if isinstance(fact, CanarySet)), None)


def _is_over(place: Place, after_seq: int) -> bool:
    state = read_state(place.registry, place.config.name)
    decided = any(isinstance(fact, RetrainDecided) for fact in place.facts(after_seq))
    return decided and isinstance(state.phase, Watching) and state.exposed is None and not state.unsent


def _tell_of_canary(place: Place, moment: Moment, after_seq: int) -> None:
    """Say how the decision ended, and how many rows each step's canary answered of those allowed."""
    facts = place.facts(after_seq)
    allowed = {fact.step: fact.max_rows for fact in facts if isinstance(fact, CanaryStepped)}
    steps = {fact.epoch: fact.step for fact in facts if isinstance(fact, CanarySet)}
    roles = [read_role(role) for role in read_predictions(place.config.folder, ["role"])["role"].to_pylist()]
    asked = [one.epoch for one in roles if one is not None and one.arm != "control"]
    rows = [
        f"step {step + 1}: {sum(steps.get(epoch) == step for epoch in asked)} of {most} rows"
        for step, most in allowed.items()
    ]
    took_s = [round((fact.at - facts[0].at).total_seconds()) for fact in facts]
    when_s = ", ".join(f"{type(fact).__name__} {s}" for fact, s in zip(facts, took_s, strict=True))
    sys.stderr.write(f"{moment.name}: {'; '.join(rows) or 'no canary'}; after s: {when_s}\n")
