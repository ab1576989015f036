"""A quickstart of the benchmark's own: its folder, its Ray, its processes, its live rows."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import psutil
import yaml

from benchmarks.faults.load import Load
from raypipe.api.status import endpoint_spec
from raypipe.config.load import load_config
from raypipe.config.settings import Config
from raypipe.control.events import Fact
from raypipe.control.ledger import read_facts
from raypipe.core.clock import SystemClock
from raypipe.core.ids import Json
from raypipe.data.committer import read_labels
from raypipe.data.synthetic import (
    COLUMNS,
    QUICKSTART_MISSING,
    QUICKSTART_NOISE,
    AgrawalSettings,
    generate,
    write_quickstart,
)
from raypipe.registry.store import Registry
from raypipe.runtime.processes import marked
from raypipe.runtime.state import read_cluster
from raypipe.serving import client
from raypipe.serving.golden import read_golden

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
RAYPIPE = (sys.executable, "-c", "from raypipe.cli.main import main; main()")
CONCEPTS = (2, 3)
"""Functions that labels follow in turn, so that each retrain has something to learn."""
N_LIVE, BATCH = 1_000, 100
LIMIT_S = 90.0
T = TypeVar("T")


@dataclass
class Place:
    """A project in a folder; `n_changes` counts how often the concept of its live rows has changed."""

    folder: Path
    n_connections: int = 16
    """Of the load beside each fault."""
    n_changes: int = 0
    told: Counter[str] | None = None
    """How often a webhook got each alert, where there is one."""

    @cached_property
    def config(self) -> Config:
        return load_config(self.config_file)

    @property
    def config_file(self) -> Path:
        return self.folder / "raypipe.yaml"

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.config.root.registry_url, SystemClock())

    @property
    def url(self) -> str:
        return endpoint_spec(self.config).url

    @property
    def row(self) -> object:
        """A row that the endpoint answers."""
        return read_golden(self.config.folder.model("v1")).rows[0]

    def load(self) -> Load:
        """Return a load that has not begun."""
        return Load(self.url, self.row, self.n_connections)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of raypipe, as a person does; its output goes to a file beside the config."""
        with (self.folder / f"{arguments[0]}.log").open("a") as log:
            line = [*RAYPIPE, *arguments, str(self.config_file)]
            return subprocess.Popen(line, stdout=log, stderr=log, text=True)

    def run(self, *arguments: str) -> None:
        """Run a command of raypipe to its end."""
        if self.command(*arguments).wait(timeout=240) != 0:
            log = (self.folder / f"{arguments[0]}.log").read_text()
            raise SystemExit(f"`raypipe {arguments[0]}` failed: {log[-2000:]}")

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return this place's processes whose command line has all words, the newest first."""
        cluster = read_cluster(self.config.root)
        known = marked(cluster.id) if cluster is not None else []
        found = [process for process in known if all(word in _line(process) for word in words)]
        return sorted(found, key=lambda process: -process.create_time())

    def kill(self, *words: str) -> psutil.Process:
        """Kill -9 the newest process whose command line has all words."""
        found = wait_for(lambda: self.processes(*words), f"a process with {words} in its command line")[0]
        found.send_signal(signal.SIGKILL)
        return found

    def facts(self, after_seq: int = 0) -> list[Fact]:
        """Return what is in the ledger, oldest first."""
        return [fact for _, fact in read_facts(self.registry, self.config.name, after_seq=after_seq)]

    def last_seq(self) -> int:
        """Return the number of the ledger's newest entry."""
        newest = self.registry.history(self.config.name, 1)
        return newest[0].seq if newest else 0

    def change_concept(self) -> None:
        """Send live rows whose labels follow another concept, and wait until they are in the tables."""
        self.n_changes += 1
        n_before = read_labels(self.config.folder).num_rows
        rows = self._rows(100 + self.n_changes)
        for start in range(0, N_LIVE, BATCH):
            self._label(rows[start : start + BATCH])
        wanted = n_before + N_LIVE
        wait_for(lambda: read_labels(self.config.folder).num_rows >= wanted, "labels in their table")

    def _rows(self, seed: int) -> list[dict[str, Json]]:
        concept = CONCEPTS[self.n_changes % len(CONCEPTS)]
        settings = AgrawalSettings(
            ((N_LIVE, concept),), seed, label_noise=QUICKSTART_NOISE, missing=QUICKSTART_MISSING
        )
        rows: list[dict[str, Json]] = generate(settings).to_pylist()
        return rows

    def _label(self, rows: list[dict[str, Json]]) -> None:
        asked: list[Json] = [{name: row[name] for name in COLUMNS} for row in rows]
        match client.predict(self.url, {"rows": asked}).body:
            case {"predictions": [*answers]}:
                labels = [_labelled(one, row) for one, row in zip(answers, rows, strict=True)]
                client.feedback(self.url, {"labels": labels})
            case other:
                raise SystemExit(f"{self.url} does not take the quickstart's rows: {str(other)[:200]}")


@contextmanager
def quickstart(port: int, n_connections: int, *, up: bool = True, **changes: object) -> Iterator[Place]:
    """Make a quickstart in a folder of its own, bring it up, and take all of it away at the end.

    `changes` replace parts of parts of the config, such as `serving={"replicas": ...}`.
    """
    place = Place(Path(tempfile.mkdtemp(prefix="rp-faults-", dir="/tmp")), n_connections)
    write_quickstart(place.folder / "data", n_rows=20_000, seed=0)
    document = yaml.safe_load(QUICKSTART.read_text())
    document["home"] = str(place.folder / "home")
    document["data"]["sources"][0]["path"] = str(place.folder / "data" / "*.parquet")
    document["serving"]["port"] = port
    document["cluster"] = {"cpus": 2}
    document["training"] |= {"families": ["xgboost"], "budget": {"trials": 3, "minutes": 1}}
    document["retraining"] |= {"triggers": {"drift": "off"}, "cool_down_s": 0}
    for part, change in changes.items():
        document[part] |= change
    place.config_file.write_text(yaml.safe_dump(document))
    try:
        if up:
            place.run("up")
        yield place
    finally:
        place.run("down")
        shutil.rmtree(place.folder, ignore_errors=True)


def wait_for(look: Callable[[], T], what: str, limit_s: float = LIMIT_S, every_s: float = 0.05) -> T:
    """Return what `look` finds, once it is something."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"there was no {what} within {limit_s:g} s")
        time.sleep(every_s)
    return found


def _labelled(answer: Json, row: Mapping[str, Json]) -> Json:
    return {"id": answer["id"] if isinstance(answer, Mapping) else None, "label": row["group"]}


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
