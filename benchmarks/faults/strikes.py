"""The faults: each kills one thing, and says how one sees that it is at work again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from urllib.request import Request, urlopen

import psutil

from benchmarks.faults.audit import ENDS, VERDICTS
from benchmarks.faults.place import Place, wait_for
from benchmarks.faults.sniper import lie_in_wait
from raypipe.control.events import ControllerStarted
from raypipe.control.people import request_retrain
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError
from raypipe.runtime.state import read_cluster
from raypipe.serving import client

SWAP_KINDS = ("event.gate_judged", "event.approved", "alias_moved")
"""Entries within the swap, at each of which it is struck in turn."""
STOPPED_S = 30.0
SERVES = "starting the endpoint"
"""What `raypipe up` says when rows and model are settled."""


@dataclass(frozen=True)
class Strike:
    """A kill: when, by the monotonic clock, and whether what was killed works again."""

    at: float
    works: Callable[[], bool]


@dataclass(frozen=True)
class Fault:
    """Something to kill; `retrains` says that a retrain is under way, whose end is waited for."""

    name: str
    strike: Callable[[Place, int], Strike]
    """Takes the number of the try, from 0."""
    retrains: bool = False
    is_peer: bool = False


def nothing(_: Place, __: int) -> Strike:
    return Strike(time.monotonic(), lambda: True)


def only_retrain(place: Place, _: int) -> Strike:
    ask_retrain(place)
    return nothing(place, 0)


def replica(place: Place, _: int) -> Strike:
    known = replicas_heard(place)
    place.kill("ServeReplica")
    return Strike(time.monotonic(), lambda: bool(_replica(place) - known))


def stopped_replica(place: Place, _: int) -> Strike:
    """Stop a replica's process and let it go on later; or another takes its place."""
    known = replicas_heard(place)
    stopped = place.processes("ServeReplica")[0]
    stopped.suspend()
    began = time.monotonic()
    threading.Timer(STOPPED_S, partial(_go_on, stopped)).start()
    return Strike(began, lambda: time.monotonic() > began + STOPPED_S or bool(_replica(place) - known))


def _go_on(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # Serve may have ended it.
        process.resume()


def haproxy(place: Place, _: int) -> Strike:
    """Kill the program that holds the endpoint's port."""
    place.kill("haproxy.cfg")
    return Strike(time.monotonic(), lambda: bool(_replica(place)))


def proxy(place: Place, _: int) -> Strike:
    """Kill Serve's actor that keeps that program."""
    old = place.kill("HAProxyManager")
    return Strike(
        time.monotonic(), lambda: any(one.pid != old.pid for one in place.processes("HAProxyManager"))
    )


def controller(place: Place, _: int) -> Strike:
    after_seq = place.last_seq()
    place.kill("_ControllerActor")
    return Strike(time.monotonic(), partial(has_announced, place, after_seq))


def controller_at(kinds: tuple[str, ...], delay_s: float, place: Place, attempt: int) -> Strike:
    """Ask for a retrain, and strike the controller once the ledger has an entry of a kind."""
    after_seq, [pid] = place.last_seq(), [one.pid for one in place.processes("_ControllerActor")[:1]]
    database, kind = place.config.root.root / "raypipe.db", kinds[attempt % len(kinds)]
    sniper = lie_in_wait(database, place.config.name, after_seq, kind, delay_s, pid)
    ask_retrain(place)
    told, _ = sniper.communicate(timeout=240)
    return Strike(float(told), partial(has_announced, place, after_seq))


def job(place: Place, attempt: int) -> Strike:
    """Strike the process of a retrain, later in each try; its decision must come to an end."""
    after_seq = place.last_seq()
    ask_retrain(place)
    # The oldest: what it forks has its command line until it is another program.
    found = wait_for(lambda: place.processes(" -m raypipe.runtime.job"), "process of a retrain's job")[-1]
    time.sleep(2.0 * (attempt + 1))
    found.kill()
    return Strike(time.monotonic(), partial(has_ended, place, after_seq))


def committer(place: Place, _: int) -> Strike:
    place.kill("_CommitterActor")
    newest = _newest_commit(place)
    return Strike(time.monotonic(), lambda: _newest_commit(place) != newest)


def serve_controller(place: Place, _: int) -> Strike:
    old = place.kill("ServeController")
    return Strike(time.monotonic(), lambda: _serve_says_running(place, old.pid))


def up(place: Place, attempt: int) -> Strike:
    """Run `raypipe up` on what is up, and kill it: first as it begins to serve, then once it has taken the
    controller down, each time a little later; what it may have taken down must be there again without it.
    """
    log, [old] = place.folder / "up.log", place.processes("_ControllerActor")[:1]
    n_before = log.read_text().count(SERVES)
    process = place.command("up")
    wait_for(lambda: log.read_text().count(SERVES) > n_before, "`up` at its last stage")
    if attempt:
        wait_for(lambda: not old.is_running(), "end of the old controller", every_s=0.01)
        time.sleep(0.3 * (attempt - 1))
    process.kill()
    process.wait()
    return Strike(time.monotonic(), partial(_measures, place, _newest_commit(place)))


FAULTS = (
    Fault("none", nothing, is_peer=True),
    Fault("replica", replica),
    Fault("watching", controller),
    Fault("committer", committer),
    Fault("serve-controller", serve_controller),
    Fault("haproxy", haproxy),
    Fault("proxy", proxy),
    Fault("up", up),
    Fault("none, with a retrain", only_retrain, retrains=True, is_peer=True),
    Fault("retraining", partial(controller_at, ("event.retrain_submitted",), 2.0), retrains=True),
    Fault("registering", partial(controller_at, ("model_registered",), 0.0), retrains=True),
    Fault("gating", partial(controller_at, ("event.retrain_succeeded",), 0.0), retrains=True),
    Fault("swapping", partial(controller_at, SWAP_KINDS, 0.0), retrains=True),
    Fault("job", job, retrains=True),
)


def has_ended(place: Place, after_seq: int) -> bool:
    """Return whether a retrain that was asked for has its verdict."""
    return any(
        isinstance(fact, ENDS) or (isinstance(fact, VERDICTS) and fact.verdict != "pass")
        for fact in place.facts(after_seq)
    )


def ask_retrain(place: Place) -> None:
    request_retrain(place.registry, place.config.name, SystemClock(), by="benchmark")


def has_announced(place: Place, after_seq: int) -> bool:
    return any(isinstance(fact, ControllerStarted) for fact in place.facts(after_seq))


def replicas_heard(place: Place, n_asked: int = 40) -> set[str]:
    """Return the replicas that answer, as far as so many questions show."""
    return {found for _ in range(n_asked) for found in _replica(place)}


def _replica(place: Place) -> set[str]:
    """Return the replica that answers this time."""
    try:
        return {client.read_status(place.url, timeout_s=2.0).replica}
    except ServingError:
        return set()


def _newest_commit(place: Place) -> str:
    log = place.config.folder.predictions / "_delta_log"
    return max((entry.name for entry in log.glob("*.json")), default="")


def _serve_says_running(place: Place, old_pid: int) -> bool:
    cluster = read_cluster(place.config.root)
    if cluster is None or not [one for one in place.processes("ServeController") if one.pid != old_pid]:
        return False
    headers = {"authorization": f"Bearer {cluster.token()}"}
    try:
        with urlopen(Request(f"{cluster.dashboard_url}/api/serve/applications/", headers=headers)) as reply:
            found = json.load(reply)["applications"].get(place.config.name, {})
    except (OSError, ValueError):
        return False
    return bool(found.get("status") == "RUNNING")


def _measures(place: Place, newest: str) -> bool:
    """Return whether the committer has committed since, and the controller has measured what it committed."""
    entry = place.config.folder.predictions / "_delta_log" / _newest_commit(place)
    window = place.config.folder.window
    return entry.name != newest and window.exists() and window.stat().st_mtime > entry.stat().st_mtime
