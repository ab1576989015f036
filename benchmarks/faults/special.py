"""Faults that need a place of their own: two replicas, a first `up`, a challenger that is damaged."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from benchmarks.faults.audit import captured
from benchmarks.faults.place import Place, wait_for
from benchmarks.faults.rows import AFTER_S, Measured, add_load, audit, measure
from benchmarks.faults.strikes import STOPPED_S, Fault, Strike, has_ended, nothing, replica, stopped_replica
from raypipe.control.people import answer, read_state, request_retrain
from raypipe.control.receipts import receipts, render
from raypipe.control.state import AwaitingApproval
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError
from raypipe.serving import client

TWO = {"min": 2, "max": 2, "cpus": 0.2}


class Make(Protocol):
    """Makes a quickstart with these changes of its config."""

    def __call__(self, *, up: bool = True, **changes: object) -> AbstractContextManager[Place]: ...


def replica_of_two(make: Make, n_tries: int) -> Iterator[Measured]:
    """Kill one of two replicas."""
    with make(serving={"replicas": TWO}) as place:
        yield measure(place, Fault("none, two replicas", nothing), 1)
        yield measure(place, Fault("one replica of two", replica), n_tries)


def stopped_of_two(make: Make, n_tries: int) -> Iterator[Measured]:
    """Stop one of two replicas for as long as HAProxy waits for it."""
    with make(serving={"replicas": TWO}) as place:
        name = f"SIGSTOP of one replica of two, {STOPPED_S:g} s"
        yield measure(place, Fault(name, stopped_replica), n_tries)


def first_up(make: Make, n_tries: int) -> Iterator[Measured]:
    """Kill the very first `raypipe up` the moment the endpoint answers; a second one must mend what lacks."""
    found = Measured("`raypipe up`, the first, once the endpoint answers; then `up` again")
    for _ in range(n_tries):
        with make(up=False) as place:
            process = place.command("up")
            wait_for(partial(_answers, place), "endpoint", every_s=0.01)
            process.kill()
            process.wait()
            found.struck_after[_lacking(place)] += 1
            before, load = captured(place), place.load()
            load.start()
            try:
                time.sleep(AFTER_S)
                place.run("up")
                time.sleep(AFTER_S)
            finally:
                load.stop()
            add_load(found, load)
            # The other row is that of the curl with which `up` ends.
            found.books += audit(place, before, 0, load.ids, n_others=1)
    yield found


def challenger(make: Make, _: int) -> Iterator[Measured]:
    """Damage a challenger that passed its gate and waits for approval, and approve it; tell its receipt."""
    with make(retraining={"mode": "approve"}) as place:
        place.change_concept()
        request_retrain(place.registry, place.config.name, SystemClock(), by="benchmark")
        version = wait_for(lambda: _waiting(place), "challenger that waits")
        path = next((place.config.folder.model(version) / "model").glob("*.ubj"))
        path.write_bytes(path.read_bytes()[:-100])
        name = f"nothing, but {version} is damaged after its gate, and approved"
        yield measure(place, Fault(name, partial(_approve, version)), 1)
        sys.stderr.write("\n".join(render(receipts(place.facts(), place.config.name)[-1])) + "\n")


def _approve(version: str, place: Place, _: int) -> Strike:
    after_seq = place.last_seq()
    answer(place.registry, place.config.name, SystemClock(), version, approved=True, by="benchmark")
    return Strike(time.monotonic(), partial(has_ended, place, after_seq))


def _answers(place: Place) -> bool:
    try:
        return client.read_status(place.url, timeout_s=1.0).version == "v1"
    except ServingError:
        return False


def _lacking(place: Place) -> str:
    """Return what was not there yet when `up` was killed."""
    parts = {"committer": "_CommitterActor", "controller": "_ControllerActor"}
    return "without a " + " or a ".join(name for name, word in parts.items() if not place.processes(word))


def _waiting(place: Place) -> str:
    phase = read_state(place.registry, place.config.name).phase
    return phase.version if isinstance(phase, AwaitingApproval) else ""
