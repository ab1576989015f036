"""MLflow is told of runs, trials, versions and aliases, once each, and its absence keeps nobody waiting."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.core.errors import ConfigError, StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import Json
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.stats.intervals import Interval
from raypipe.testing.fakes import FakeClock
from raypipe.tracking.beside import sync_now, tell
from raypipe.tracking.sink import PARENT_TAG, RUN_TAG, VERSION_TAG
from raypipe.tracking.sync import sync
from raypipe.training.kept import RunFolder
from raypipe.training.leaderboard import Leaderboard, LeaderboardEntry
from raypipe.training.race import TrialSummary
from raypipe.training.standings import Standing


@dataclass
class Notebook:
    """A sink in memory, which may fail after some calls."""

    runs: dict[str, tuple[str | None, dict[str, str]]] = field(default_factory=dict)
    said: dict[str, tuple[dict[str, str], dict[str, float]]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    versions: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    n_left: int = 1_000_000

    def _call(self) -> None:
        self.n_left -= 1
        if self.n_left < 0:
            raise ConnectionError("the server is away")

    def run(self, key: str, parent: str | None, tags: Mapping[str, str]) -> str:
        self._call()
        self.runs.setdefault(key, (parent, dict(tags)))
        return key

    def say(self, run: str, params: Mapping[str, str], metrics: Mapping[str, float], at_ms: int) -> None:
        self._call()
        self.said[run] = (dict(params), dict(metrics))

    def end(self, run: str, status: str, at_ms: int) -> None:
        self._call()
        self.ended.setdefault(run, status)

    def version(self, version: str, run: str, source: str, tags: Mapping[str, str]) -> None:
        self._call()
        before = self.versions.get(version, (run, {}))[1]
        self.versions[version] = (run, {**before, **tags})

    def alias(self, alias: str, version: str | None) -> None:
        self._call()
        if version is None:
            self.aliases.pop(alias, None)
        else:
            self.aliases[alias] = version


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    home = Home(tmp_path / "home")
    home.prepare()
    return home.pipeline("shop")


@pytest.fixture
def registry(folder: PipelineHome) -> Registry:
    return Registry(Home(folder.root.parent).registry_url, FakeClock())


def board() -> Json:
    interval = Interval(0.8, 0.7, 0.9)
    entry = LeaderboardEntry(
        "linear",
        "t1",
        "f",
        {"strength": 2.0},
        interval,
        interval,
        {"accuracy": interval},
        None,
        None,
        1.5,
        10.0,
        100,
    )
    return Leaderboard("auc", True, "linear", (entry,), 10, 10).to_json()


def register(registry: Registry, folder: PipelineHome, run: str) -> None:
    """Register a version as a run does, whose race had one trial that ended and one that failed."""
    staged = folder.staging / run
    staged.mkdir(parents=True)
    (staged / "model").write_text(run)
    (folder.runs / run).mkdir(parents=True)
    best = TrialSummary("t1", "linear", {"strength": 2.0}, 0.8, "finished", 1, 1.5)
    failed = TrialSummary("t2", "xgboost", {"n_trees": 9}, None, "failed", 0, 0.5, "ValueError: no")
    saved = folder.staging / f"{run}-best"
    saved.mkdir()
    RunFolder(folder.runs / run).keep_race((Standing(best, "f", saved),), (best, failed))
    draft = ManifestDraft(folder.name, "d-1", run, {}, "linear", "f", {}, board(), {})
    registry.register(folder.name, staged, folder.models, draft)


def test_runs_trials_versions_and_aliases_are_told_once(registry: Registry, folder: PipelineHome) -> None:
    sink, made = Notebook(), []
    register(registry, folder, "r-1")
    registry.set_alias("shop", "challenger", "v1", reason="new")

    def connect() -> Notebook:
        made.append(1)
        return sink

    done = sync(registry, folder, "u", connect)
    assert (done.n_versions, done.n_trials) == (1, 2)
    assert {key: parent for key, (parent, _) in sink.runs.items()} == {
        "shop/r-1": None,
        "shop/r-1/t1": "shop/r-1",
        "shop/r-1/t2": "shop/r-1",
    }
    assert sink.ended == {"shop/r-1": "FINISHED", "shop/r-1/t1": "FINISHED", "shop/r-1/t2": "FAILED"}
    params, metrics = sink.said["shop/r-1"]
    assert params == {"family": "linear", "data_version": "d-1", "linear.strength": "2.0"}
    assert metrics["test.auc"] == 0.8 and metrics["test.accuracy.low"] == 0.7 and metrics["train_s"] == 1.5
    assert sink.said["shop/r-1/t2"] == ({"family": "xgboost", "n_trees": "9"}, {"train_s": 0.5})
    assert sink.versions["v1"][0] == "shop/r-1" and sink.aliases == {"challenger": "v1"}

    assert sync(registry, folder, "u", connect).n_versions == 0 and len(made) == 1, "nothing came since"
    register(registry, folder, "r-2")
    registry.set_alias("shop", "champion", "v2", reason="better")
    assert sync(registry, folder, "u", connect).n_versions == 1
    assert sink.aliases == {"challenger": "v1", "champion": "v2"}
    registry.set_alias("shop", "champion", "v1", reason="back")
    sync(registry, folder, "u", connect)
    assert sink.aliases["champion"] == "v1"


def test_what_comes_while_a_sink_is_told_is_told_by_the_same_sync(
    registry: Registry, folder: PipelineHome
) -> None:
    class Slow(Notebook):
        def end(self, run: str, status: str, at_ms: int) -> None:
            super().end(run, status, at_ms)
            if registry.alias("shop", "champion") is None:
                registry.set_alias("shop", "champion", "v1", reason="meanwhile")
                assert sync(registry, folder, "u", Notebook).is_busy

    register(registry, folder, "r-1")
    sink = Slow()
    done = sync(registry, folder, "u", lambda: sink)
    assert (done.n_versions, done.n_trials, done.is_busy) == (1, 2, False)
    assert sink.aliases == {"champion": "v1"}


def test_a_removed_version_is_told_as_removed(registry: Registry, folder: PipelineHome) -> None:
    sink = Notebook()
    register(registry, folder, "r-1")
    register(registry, folder, "r-2")
    sync(registry, folder, "u", lambda: sink)
    as_of = registry.history("shop", 1)[0].seq
    registry.remove_models("shop", ["v1"], reason="too old", as_of=as_of)
    sync(registry, folder, "u", lambda: sink)
    assert "too old" in sink.versions["v1"][1]["raypipe.removed"]
    assert "raypipe.removed" not in sink.versions["v2"][1]


def test_an_outage_anywhere_loses_and_doubles_nothing(registry: Registry, folder: PipelineHome) -> None:
    register(registry, folder, "r-1")
    register(registry, folder, "r-2")
    registry.set_alias("shop", "champion", "v2", reason="better")
    whole = Notebook()
    sync(registry, folder, "whole", lambda: whole)
    broken, n_outages = Notebook(), 0
    for n_calls in range(1, 60):
        broken.n_left = n_calls
        try:
            sync(registry, folder, "broken", lambda: broken)
        except ConnectionError:
            n_outages += 1
    assert n_outages > 5
    assert (broken.runs, broken.said, broken.ended) == (whole.runs, whole.said, whole.ended)
    assert (broken.versions, broken.aliases) == (whole.versions, whole.aliases)


def config(folder: Path, uri: str | None) -> Config:
    document = {
        "name": "shop",
        "home": str(folder / "home"),
        "data": {"sources": [{"name": "rows", "format": "csv", "path": "rows.csv"}], "label": "y"},
        "registry": {"mlflow": uri and {"uri": uri}},
    }
    return parse_config(document, folder)


def test_telling_is_another_process_and_off_is_off(
    tmp_path: Path, registry: Registry, folder: PipelineHome
) -> None:
    register(registry, folder, "r-1")
    assert tell(config(tmp_path, None)) is None
    assert not folder.mlflow_log.exists()
    waiting = tell(config(tmp_path, "http://127.0.0.1:9"))  # Nobody listens there.
    assert waiting is not None
    waiting.join()
    assert folder.mlflow_log.read_text().startswith(("registry.mlflow needs mlflow", "MLflow was not told"))


def test_a_password_is_not_kept_in_versions(tmp_path: Path) -> None:
    told = config(tmp_path, "https://me:hush@there/").without_secrets()
    assert told.registry.mlflow is not None and "hush" not in told.registry.mlflow.uri
    with pytest.raises(ConfigError, match=r"registry\.mlflow\.uri must match"):
        config(tmp_path, "sqlite:///beside.db")


def test_mlflows_own_store_is_in_step(registry: Registry, folder: PipelineHome, tmp_path: Path) -> None:
    """Against MLflow's SQLite; an environment with `mlflow-skinny` runs it."""
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed: pip install 'raypipe[mlflow]'")
    from mlflow.tracking import MlflowClient

    warnings.simplefilter("ignore")  # MLflow has its own, and this tier makes errors of them.
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    register(registry, folder, "r-1")
    register(registry, folder, "r-2")
    registry.set_alias("shop", "champion", "v1", reason="first")
    registry.set_alias("shop", "challenger", "v2", reason="new")
    done = sync_now(registry, folder, uri)
    assert (done.n_versions, done.n_trials) == (2, 4)
    folder.mlflow_mark.unlink()
    sync_now(registry, folder, uri)

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("shop")
    runs = {run.data.tags[RUN_TAG]: run for run in client.search_runs([experiment.experiment_id])}
    assert len(client.search_runs([experiment.experiment_id])) == len(runs) == 6, "nothing is doubled"
    for key, run in runs.items():
        parent = run.data.tags.get(PARENT_TAG)
        assert parent == (None if key.count("/") == 1 else runs[key.rpartition("/")[0]].info.run_id)
    assert runs["shop/r-1/t2"].info.status == "FAILED"
    assert runs["shop/r-1"].data.metrics["test.auc"] == 0.8
    assert runs["shop/r-1"].data.params["linear.strength"] == "2.0"
    versions = client.search_model_versions("name = 'shop'")
    assert sorted(one.tags[VERSION_TAG] for one in versions) == ["v1", "v2"]
    named = {alias: client.get_model_version_by_alias("shop", alias) for alias in ("champion", "challenger")}
    assert {alias: one.tags[VERSION_TAG] for alias, one in named.items()} == registry.aliases("shop")
    assert named["champion"].run_id == runs["shop/r-1"].info.run_id

    registry.set_alias("shop", "champion", "v2", reason="better")
    sync_now(registry, folder, uri)
    assert client.get_model_version_by_alias("shop", "champion").tags[VERSION_TAG] == "v2"
    with pytest.raises(StorageError, match="comes with the next sync"):
        sync_now(registry, folder, "sqlite:////dev/null/mlflow.db")
