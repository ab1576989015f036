"""What an MLflow server or store is told, and how that is known there again: nothing is doubled."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from raypipe.core.errors import ConfigError

RUN_TAG, VERSION_TAG, PIPELINE_TAG = "raypipe.run", "raypipe.version", "raypipe.pipeline"
PARENT_TAG = "mlflow.parentRunId"
_MAX_PARAM = 500


class Sink(Protocol):
    """Keeps runs and versions under names of raypipe's; telling it the same again changes nothing."""

    def run(self, key: str, parent: str | None, tags: Mapping[str, str]) -> str:
        """Return the sink's id of the run with a key, beginning it where it is not there."""
        ...

    def say(self, run: str, params: Mapping[str, str], metrics: Mapping[str, float], at_ms: int) -> None:
        """Keep parameters and metrics of a run."""
        ...

    def end(self, run: str, status: str, at_ms: int) -> None:
        """Say how a run ended: FINISHED, FAILED or KILLED."""
        ...

    def version(self, version: str, run: str, source: str, tags: Mapping[str, str]) -> None:
        """Register a version, unless it is there; its tags are those that are given."""
        ...

    def alias(self, alias: str, version: str | None) -> None:
        """Let an alias name a version of raypipe's, or none."""
        ...


class MlflowSink:
    """One pipeline in an MLflow store: an experiment and a registered model of its name."""

    def __init__(self, uri: str, pipeline: str) -> None:
        self._client: Any = _client(uri)
        self._pipeline = pipeline
        self._experiment = self._experiment_id()
        self._versions: dict[str, str] = {}
        self._has_model = False

    def run(self, key: str, parent: str | None, tags: Mapping[str, str]) -> str:
        found = self._client.search_runs([self._experiment], f"tags.`{RUN_TAG}` = '{key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        own = {RUN_TAG: key, PIPELINE_TAG: self._pipeline, **tags}
        if parent is not None:
            own[PARENT_TAG] = parent
        made = self._client.create_run(self._experiment, tags=own, run_name=key.rpartition("/")[2])
        return str(made.info.run_id)

    def say(self, run: str, params: Mapping[str, str], metrics: Mapping[str, float], at_ms: int) -> None:
        entities = import_module("mlflow.entities")
        self._client.log_batch(
            run,
            metrics=[entities.Metric(name, value, at_ms, 0) for name, value in metrics.items()],
            params=[entities.Param(name, value[:_MAX_PARAM]) for name, value in params.items()],
        )

    def end(self, run: str, status: str, at_ms: int) -> None:
        if self._client.get_run(run).info.end_time is None:
            self._client.set_terminated(run, status, at_ms)

    def version(self, version: str, run: str, source: str, tags: Mapping[str, str]) -> None:
        number = self._known().get(version)
        if number is None:
            own = {VERSION_TAG: version, PIPELINE_TAG: self._pipeline}
            made = self._client.create_model_version(self._pipeline, source, run, tags=own)
            number = self._versions[version] = str(made.version)
        for name, value in tags.items():
            self._client.set_model_version_tag(self._pipeline, number, name, value)

    def alias(self, alias: str, version: str | None) -> None:
        known = self._known()
        now = dict(self._client.get_registered_model(self._pipeline).aliases)
        wanted = known.get(version or "")
        if wanted is None and alias in now:
            self._client.delete_registered_model_alias(self._pipeline, alias)
        elif wanted is not None and str(now.get(alias)) != wanted:
            self._client.set_registered_model_alias(self._pipeline, alias, wanted)

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._pipeline)
        return str(self._client.create_experiment(self._pipeline) if found is None else found.experiment_id)

    def _known(self) -> dict[str, str]:
        """Return the numbers that MLflow gave raypipe's versions."""
        if not self._has_model:
            if not self._client.search_registered_models(f"name = '{self._pipeline}'"):
                self._client.create_registered_model(self._pipeline, tags={PIPELINE_TAG: self._pipeline})
            for one in self._client.search_model_versions(f"name = '{self._pipeline}'", max_results=10_000):
                if VERSION_TAG in one.tags:
                    self._versions[one.tags[VERSION_TAG]] = str(one.version)
            self._has_model = True
        return self._versions


def _client(uri: str) -> Any:
    try:
        tracking = import_module("mlflow.tracking")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"registry.mlflow needs {error.name}, which is not installed: `pip install 'raypipe[mlflow]'`."
        ) from error
    return tracking.MlflowClient(tracking_uri=uri, registry_uri=uri)
