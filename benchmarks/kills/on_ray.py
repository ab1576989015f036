"""kill -9 in each phase of a rollout on Ray: of the controller's actor, and of replicas in mid-canary.

    .venv/bin/python -m benchmarks.kills.on_ray                               # all, one replica
    .venv/bin/python -m benchmarks.kills.on_ray --replicas 2 canary-replica

A Ray of its own with HAProxy before the endpoint, a real controller and committer as detached actors, and a
challenger that answers in no time. What a gate would have let pass is written to the ledger while no
controller runs; from there on the actor does everything, under a load whose answers get their labels.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from benchmarks.faults.audit import captured, check_release, compare_log
from benchmarks.faults.labelled import LabelledLoad
from benchmarks.faults.load import longest_gap_s
from benchmarks.faults.place import Place, wait_for
from benchmarks.faults.rows import settle
from benchmarks.faults.sniper import lie_in_wait
from benchmarks.kills.stage import gated, told_of_canary
from benchmarks.webhook import webhook
from raypipe.control.events import ControllerStarted
from raypipe.control.people import answer, read_state
from raypipe.control.rollout_events import CanarySet
from raypipe.control.state import Watching
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError
from raypipe.runtime.environment import LATE, MARK, cluster_environment, late_answer
from raypipe.runtime.ports import choose_ports
from raypipe.serving import client
from raypipe.serving.releases import Releases
from raypipe.serving.spec import EndpointSpec
from raypipe.testing.serving import register_tiny_version, tiny_model

CONTROLLER, REPLICA = "_ControllerActor", "ServeReplica"
ROW = {"amount": 1.5, "size": 1, "colour": "red", "member": True, "seen": None}
LIMIT_S, WARM_S, AFTER_S = 100.0, 2.0, 2.0
COLUMNS = (
    "kill -9 of",
    "sent",
    "failed",
    "longest gap s",
    "s to return",
    "ended",
    "canary's rows, allowed",
    "answers not once in the log",
    "done twice",
    "half-released",
    "alerts untold",
)


class Moment(NamedTuple):
    """When to strike: `delay_s` after the ledger has the entry of a kind that follows `nth` others."""

    name: str
    kind: str
    delay_s: float = 0.0
    nth: int = 0
    target: str = CONTROLLER
    person: str = "nothing"
    """What a person does meanwhile."""


MOMENTS = {
    "shadow": Moment("the controller, in a shadow", "event.shadow_started", 0.3),
    "pointing": Moment("the controller, before the pointer names its canary", "event.canary_stepped"),
    "canary": Moment("the controller, in a canary's first step", "event.canary_set", 0.3),
    "second-step": Moment("the controller, in a canary's second step", "event.canary_set", 0.3, nth=1),
    "promoting": Moment("the controller, promoting", "event.canary_judged"),
    "withdrawing": Moment("the controller, taking a canary back", "event.rejected", person="rejects"),
    "rollback": Moment("the controller, as a person rolls back", "alias_moved", person="rolls back"),
    "canary-replica": Moment("a replica, in mid-canary", "event.canary_set", 0.5, target=REPLICA),
}


class RayPlace(Place):
    """A folder with the config of a pipeline of tiny versions, whose Ray is this process's own."""

    def processes(self, *words: str) -> list[psutil.Process]:
        found = [one for one in psutil.Process().children(recursive=True) if _has(one, words)]
        return sorted(found, key=lambda process: -process.create_time())

    @property
    def url(self) -> str:
        return EndpointSpec(self.config.name, self.config.root.root, self.config.serving).url

    def labelled(self) -> LabelledLoad:
        """Return a load of one row, whose label is `good` in seven of ten."""
        chance = random.Random(self.n_changes)
        rows = [(ROW, "good" if chance.random() < 0.7 else "bad") for _ in range(1_000)]
        return LabelledLoad(self.url, rows, self.n_connections)


def main() -> None:
    """Kill as asked for, and print the table as it grows; starts anew under the variables of a Ray."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills.on_ray", description="kill -9 on Ray.")
    parser.add_argument(
        "moments", nargs="*", choices=[*MOMENTS, []], metavar="MOMENT", help=", ".join(MOMENTS)
    )
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--connections", type=int, default=4)
    asked = parser.parse_args()
    unknown = [name for name in asked.moments if name not in MOMENTS]
    if unknown:
        parser.error(f"MOMENT must be one of {', '.join(MOMENTS)}. Got {unknown[0]!r}.")
    if MARK not in os.environ:
        with tempfile.TemporaryDirectory(prefix="rpk", dir="/tmp", ignore_cleanup_errors=True) as root:
            variables = _environment(Path(root))
            line = [sys.executable, "-m", "benchmarks.kills.on_ray", *sys.argv[1:]]
            code = os.spawnve(os.P_WAIT, sys.executable, line, variables | {"RAYPIPE_KILLS": root})
        sys.exit(code)
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n")
    with _place(Path(os.environ["RAYPIPE_KILLS"]), asked.replicas, asked.connections) as place:
        for name in asked.moments or MOMENTS:
            sys.stdout.write(_tried(place, MOMENTS[name]))
            sys.stdout.flush()


def _environment(root: Path) -> dict[str, str]:
    """Return the variables of this process for a Ray with HAProxy, with its files in a folder."""
    (root / "haproxy").mkdir()
    (root / "token").write_text("0" * 64)
    (root / LATE).write_bytes(late_answer(20.0))
    ours = cluster_environment(
        id=root.name,
        folder=root,
        token_file=root / "token",
        ports=choose_ports(0, os.getpid()),
        n_cpus=2,
        body_timeout_s=20.0,
        haproxy=True,
    )
    others = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SERVE_"))}
    return others | ours | {"RAY_AUTH_MODE": "disabled"}


@contextmanager
def _place(root: Path, n_replicas: int, n_connections: int) -> Iterator[RayPlace]:
    import ray
    from ray import serve

    from raypipe.data.on_ray import start_committer, stop_committer
    from raypipe.serving.on_ray import deploy

    with webhook() as (url, told):
        place = RayPlace(root, n_connections, told=told)
        write_config(place, n_replicas, url)
        place.config.root.prepare()
        folder, registry = place.config.folder, place.registry
        register_tiny_version(registry, folder, model=tiny_model(0.6))
        Releases(registry, folder).release("v1", expected=None, reason="the first")
        options = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100_000_000}
        ray.init(address="local", _temp_dir=str(root / "r"), log_to_driver=False, **options)
        try:
            deploy(EndpointSpec(place.config.name, place.config.root.root, place.config.serving))
            start_committer(folder, 0.5, registry.next_epoch(place.config.name))
            yield place
        finally:
            stop_committer(place.config.name)
            serve.shutdown()
            ray.shutdown()


def write_config(place: RayPlace, n_replicas: int, webhook_url: str) -> None:
    """Write the config of a place: short steps, and no retrain by itself."""
    canary = {"weights": [0.2, 0.5], "hold_s": 1, "slow_ms": 60_000, "tolerance": 3.0, "harm": 3.0}
    document = {
        "name": "tiny",
        "home": str(place.folder / "home"),
        "data": {"sources": [{"name": "f", "format": "csv", "path": "rows.csv"}], "label": "outcome"},
        "serving": {
            "port": choose_ports(0, os.getpid() + 1).haproxy_stats,
            "replicas": {"min": n_replicas, "max": n_replicas, "cpus": 0.2},
            "capture": {"commit_interval_s": 0.5},
        },
        "retraining": {
            "tick_s": 0.2,
            "triggers": {"drift": "off", "harm": "off"},
            "alerts": {"webhook": webhook_url},
            "rollout": {"shadow": {"share": 1.0, "margin": 0.1, "min_rows": 50}, "canary": canary},
        },
    }
    place.config_file.write_text(yaml.safe_dump(document))


def _tried(place: RayPlace, moment: Moment) -> str:
    """Strike once, and return the line of the table."""
    from raypipe.control.on_ray import start_controller, stop_controller

    place.n_changes += 1
    rolls_back = moment.person == "rolls back"
    stop_controller(place.config.name)
    settle(place)
    if not rolls_back:
        challenger = register_tiny_version(place.registry, place.config.folder, model=tiny_model(0.7))
        gated(place.registry, place.config.name, challenger.version)
    before, after_seq, load = captured(place), place.last_seq(), place.labelled()
    load.start()
    try:
        time.sleep(WARM_S)
        start_controller(place.config, "")
        took_s = _struck(place, moment, after_seq)
        wait_for(
            lambda: _is_over(place), f"end of {moment.name}: {read_state(place.registry, 'tiny')}", LIMIT_S
        )
        time.sleep(AFTER_S)
    finally:
        load.stop()
    settle(place)
    books = compare_log(before, captured(place), load.ids) + check_release(place)
    ended, rows, twice = told_of_canary(place, after_seq)
    cells = (
        moment.name,
        f"{load.n_sent:,}",
        f"{load.failures.total()} {dict(load.failures) or ''}".strip(),
        f"{longest_gap_s(load.times):.2f}",
        f"{took_s:.1f}",
        "rolled back" if rolls_back else ended,
        rows,
        str(books.not_once),
        str(twice),
        str(books.half_released),
        str(books.untold),
    )
    return f"| {' | '.join(cells)} |\n"


def _struck(place: RayPlace, moment: Moment, after_seq: int) -> float:
    """Lie in wait for the moment, let people do what they do, and return how long the killed one was away."""
    wait_for(_controller_is_back(place, after_seq), "controller", LIMIT_S)
    name, pid, started_at = place.config.name, place.processes(moment.target)[0].pid, place.last_seq()
    database = place.config.root.root / "raypipe.db"
    sniper = lie_in_wait(database, name, after_seq, moment.kind, moment.delay_s, pid, moment.nth)
    if moment.person == "rolls back":
        champion = place.registry.alias(name, "champion") or ""
        Releases(place.registry, place.config.folder).rollback(expected=champion, reason="rolled back")
    if moment.person == "rejects":
        canary = wait_for(lambda: _canary(place, after_seq), "canary", LIMIT_S)
        answer(place.registry, name, SystemClock(), canary.version, approved=False, by="benchmark")
    struck_at = float(sniper.communicate(timeout=LIMIT_S)[0])
    back = (
        _controller_is_back(place, started_at)
        if moment.target == CONTROLLER
        else _replica_is_back(place, pid)
    )
    wait_for(back, f"{moment.target} again", LIMIT_S)
    return time.monotonic() - struck_at


def _controller_is_back(place: RayPlace, after_seq: int) -> Callable[[], bool]:
    return lambda: any(isinstance(fact, ControllerStarted) for fact in place.facts(after_seq))


def _replica_is_back(place: RayPlace, pid: int) -> Callable[[], bool]:
    wanted = place.config.serving.replicas.min

    def back() -> bool:
        running = [one for one in place.processes(REPLICA) if one.pid != pid]
        try:
            return len(running) >= wanted and bool(client.read_status(place.url, timeout_s=2.0).replica)
        except ServingError:
            return False

    return back


def _canary(place: RayPlace, after_seq: int) -> CanarySet | None:
    return next((fact for fact in place.facts(after_seq) if isinstance(fact, CanarySet)), None)


def _is_over(place: RayPlace) -> bool:
    state = read_state(place.registry, place.config.name)
    return isinstance(state.phase, Watching) and state.exposed is None and not state.unsent


def _has(process: psutil.Process, words: tuple[str, ...]) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return all(word in line for word in words)


if __name__ == "__main__":
    main()
