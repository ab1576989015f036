"""What `run` or `up` would do, and where, before it does anything: nothing is started, and nothing written.

Only listings, file footers, the registry and small records of the home are read. Whether the contents of the
sources are those of a known version is decided in the run, by digest; here sizes stand for contents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from raypipe.api.sizes import Machine, Sizes, known_version, seen
from raypipe.config.settings import Config
from raypipe.core.clock import SystemClock
from raypipe.core.ids import Json
from raypipe.pipeline import Loop, no_compute
from raypipe.processing.where import RAY_DATA_ROWS, in_memory, over_ray_data
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.runtime.resources import plan
from raypipe.runtime.status import status
from raypipe.serving.releases import CHAMPION
from raypipe.serving.spec import EndpointSpec
from raypipe.training.kept import n_ended, stages_finished
from raypipe.training.trials import Trials
from raypipe.training.weighing import SPREAD_ABOVE_S

Action = Literal["run", "skip"]
HERE = "this process"


@dataclass(frozen=True)
class Planned:
    """A stage as it would be: done, or skipped, for a reason."""

    stage: str
    action: Action
    what: str
    why: str
    where: str = HERE
    n_rows: int | None = None
    """None where it is not known before the rows are read."""
    n_bytes: int | None = None
    resources: Mapping[str, Json] = field(default_factory=dict)
    """CPUs, GPUs, how many at once, and memory, which is estimated."""


@dataclass(frozen=True)
class Explanation:
    """What would be done."""

    pipeline: str
    home: str
    data_version: str | None
    """The known version whose pieces have the sizes of those that lie at the sources now."""
    run: str | None
    """The id of learning from that version under these settings."""
    starts_ray: bool
    stages: tuple[Planned, ...]

    def to_json(self) -> Json:
        return asdict(self)


def explain(
    config: Config, *, machine: Machine, serve: bool, force: bool = False, data: str | None = None
) -> Explanation:
    """Return what `run` would do, or with `serve` what `up` would; raises what it would be refused for.

    `data` names a data version to learn from, instead of what the sources hold.
    """
    registry = Registry(config.root.registry_url, SystemClock())
    facts = _facts(config, registry, machine, serve=serve, force=force, data=data)
    stages = tuple(stage(facts) for stage in _STAGES)
    starts_ray = any(one.resources.get("starts_ray") is True for one in stages)
    id = facts.sizes.version.id if facts.sizes.version else None
    return Explanation(config.name, str(config.root.root), id, facts.run, starts_ray, stages)


@dataclass(frozen=True)
class _Facts:
    """What all stages follow from."""

    config: Config
    sizes: Sizes
    run: str | None
    made: ModelVersion | None
    """The version that this run made before; then nothing is left to do."""
    finished: tuple[str, ...]
    """The stages that an earlier attempt at this run finished."""
    n_ended: int
    """Trials that ended in earlier attempts."""
    n_cpus: float | None
    """None where they are known only once the cluster is joined."""
    trials: Trials | None
    champion: str | None
    ray: str
    starts_ray: bool
    serve: bool
    is_named: bool
    """Whether the data version was named: then no source is looked at."""

    @property
    def in_files(self) -> bool:
        """Whether the rows are known to be too many for memory."""
        n_rows, n_columns = self.sizes.n_rows or 0, self.sizes.n_columns or 0
        return not in_memory(n_rows, n_columns, self.config.processing.in_memory_cells)


def _facts(
    config: Config, registry: Registry, machine: Machine, *, serve: bool, force: bool, data: str | None
) -> _Facts:
    loop = Loop(config, registry, SystemClock(), no_compute)
    version, surveys = (
        known_version(config.data, registry.data_versions(config.name))
        if data is None
        else (loop.known(data), ())
    )
    models = registry.model_versions(config.name)
    newest = config.folder.model(models[0].version) if models else None
    sizes = seen(config.data, version, surveys, newest)
    run = None if version is None else loop.run_id(version)
    made = None if force else next((one for one in models if one.run == run), None)
    folder = None if run is None or force else config.folder.runs / run
    joined = config.cluster.address is not None
    n_cpus = None if joined else float(config.cluster.cpus or machine.n_cpus)
    ray, starts_ray = _ray(config, serve=serve)
    return _Facts(
        config=config,
        sizes=sizes,
        run=run,
        made=made,
        finished=stages_finished(folder) if folder else (),
        n_ended=n_ended(folder) if folder else 0,
        n_cpus=n_cpus,
        trials=None if n_cpus is None else plan(n_cpus, config.serving, config.training.resources),
        champion=registry.alias(config.name, CHAMPION),
        ray=ray,
        starts_ray=starts_ray,
        serve=serve,
        is_named=data is not None,
    )


def _ray(config: Config, *, serve: bool) -> tuple[str, bool]:
    """Return which Ray would be used, and whether it would be started."""
    if config.cluster.address is not None:
        return f"the Ray at {config.cluster.address}", False
    found = status(config.root)
    if found.state == "running" and found.cluster is not None:
        return f"the home's Ray on this machine ({found.cluster.address})", False
    kind = "a Ray of the home that goes on running" if serve else "a private Ray for this run"
    return f"{kind}, on this machine", True


def _collect(facts: _Facts) -> Planned:
    sizes = facts.sizes
    if facts.is_named and sizes.version is not None:
        what = _count(len(sizes.version.fragments), "fragment")
        return Planned("collect", "skip", what, f"{sizes.version.id} was named", n_rows=sizes.n_rows)
    what = f"{_count(sizes.n_pieces, 'piece')} of {_count(len(facts.config.data.sources), 'source')}"
    if sizes.version is None:
        why = sizes.problem or "no known version has such pieces under these settings; only new ones are read"
        return Planned("collect", "run", what, why, n_rows=sizes.n_rows, n_bytes=sizes.n_bytes)
    why = f"their sizes are those of {sizes.version.id}; digests are compared in the run, and decide"
    return Planned("collect", "skip", what, why, n_rows=sizes.n_rows, n_bytes=sizes.n_bytes)


def _prepare(facts: _Facts) -> Planned:
    done = _made_before(facts, "prepare")
    if done is not None:
        return done
    parts = facts.sizes.parts(facts.config.data.split)
    what = "read, split and profile the rows, and fit the features to the training part"
    why = "it is quick, and what follows starts from it"
    if facts.in_files:
        why += "; rows are read block by block, as they are more than processing.in_memory_cells allows"
    memory = {"memory_bytes": facts.sizes.blocks_bytes if facts.in_files else facts.sizes.rows_bytes}
    return Planned("prepare", "run", what, why, HERE, None if parts is None else sum(parts), None, memory)


def _encode(facts: _Facts) -> Planned:
    done = _made_before(facts, "encode") or _found(facts, "encode", ("race", "judge", "importance"))
    if done is not None:
        return done
    compute, n_rows = facts.config.processing.compute, facts.sizes.n_rows
    over_ray = over_ray_data(compute, n_rows or 0)
    limit = f"{'more' if over_ray else 'no more'} than {RAY_DATA_ROWS:,} rows"
    why = (
        f"processing.compute is auto, and there are {limit}"
        if compute == "auto"
        else "processing.compute says so"
    )
    guess = " (a guess)" if facts.sizes.features_guessed and facts.sizes.n_features else ""
    what = f"turn rows into {_count(facts.sizes.n_features, 'feature')}{guess}"
    where = f"Ray Data on {facts.ray}" if over_ray else HERE
    size = facts.sizes.features_bytes
    if facts.in_files:
        what += ", in a file that is mapped into memory"
    memory = facts.sizes.blocks_bytes if facts.in_files else size
    return Planned("encode", "run", what, why, where, n_rows, size, {"memory_bytes": memory})


def _race(facts: _Facts) -> Planned:
    done = _made_before(facts, "race") or _found(facts, "race", ("race",))
    if done is not None:
        return done
    settings = facts.config.training
    left = max(0, settings.budget.trials - facts.n_ended)
    limit = f"at most {settings.budget.minutes:g} minutes"
    what = f"{_count(left, 'trial')} of {', '.join(settings.racing)}, {limit}"
    why = (
        f"{facts.n_ended} of {settings.budget.trials} trials were finished before" if facts.n_ended else _NEW
    )
    resources: dict[str, Json] = {
        "n_trials": left,
        "n_cpus": facts.n_cpus,
        "cpus_per_trial": facts.trials.cpus_per_trial if facts.trials else settings.resources.cpus,
        "gpus_per_trial": settings.resources.gpus,
        "max_concurrent": facts.trials.max_concurrent if facts.trials else settings.resources.max_concurrent,
        "memory_bytes": facts.sizes.race_bytes(facts.trials.max_concurrent if facts.trials else 1),
        "starts_ray": facts.starts_ray,
    }
    n_rows = facts.sizes.learned_from(facts.config.data.split)
    return Planned("race", "run", what, why, facts.ray, n_rows, facts.sizes.features_bytes, resources)


def _judge(facts: _Facts) -> Planned:
    parts = facts.sizes.parts(facts.config.data.split)
    what = "score the best of each family once on the test rows"
    done = _made_before(facts, "judge") or _found(facts, "judge", ("judge",))
    return done or Planned("judge", "run", what, _NEW, HERE, None if parts is None else parts[2])


def _importance(facts: _Facts) -> Planned:
    settings = facts.config.training.importance
    if not settings.enabled:
        return Planned("importance", "skip", "", "training.importance.enabled is false")
    done = _made_before(facts, "importance") or _found(facts, "importance", ("importance",))
    if done is not None:
        return done
    parts = facts.sizes.parts(facts.config.data.split)
    n_rows = None if parts is None else min(parts[1], settings.rows)
    what = f"shuffle each column {settings.repeats} times among validation rows"
    elsewhere = f"over Ray if that would take longer than {SPREAD_ABOVE_S:g} s"
    return Planned("importance", "run", f"{what}, {elsewhere}", _NEW, HERE, n_rows)


def _register(facts: _Facts) -> Planned:
    if facts.made is not None:
        return Planned("register", "skip", "", _made(facts.made))
    what = f"a new model version in {facts.config.folder.models}"
    return Planned("register", "run", what, "each run that learns makes one")


def _release(facts: _Facts) -> Planned:
    if not facts.serve:
        return Planned("release", "skip", "", "`raypipe up` and `raypipe promote` release")
    if facts.champion is not None:
        return Planned("release", "skip", "", f"{facts.champion} is the champion until `raypipe promote`")
    return Planned("release", "run", "the new version becomes the champion", "there is none yet")


def _serve(facts: _Facts) -> Planned:
    if not facts.serve:
        return Planned("serve", "skip", "", "`raypipe up` serves")
    config, replicas = facts.config, facts.config.serving.replicas
    url = EndpointSpec(config.name, config.root.root, config.serving).url
    resources: dict[str, Json] = {
        "min_replicas": replicas.min,
        "max_replicas": replicas.max,
        "cpus_per_replica": replicas.cpus,
        "starts_ray": facts.starts_ray,
    }
    what = f"the champion answers at {url}, and the controller watches"
    return Planned(
        "serve", "run", what, "an endpoint that is up already stays up", facts.ray, resources=resources
    )


_NEW = "nothing was learned yet from these rows under these settings"
_STAGES = (_collect, _prepare, _encode, _race, _judge, _importance, _register, _release, _serve)


def _made_before(facts: _Facts, stage: str) -> Planned | None:
    return None if facts.made is None else Planned(stage, "skip", "", _made(facts.made))


def _made(version: ModelVersion) -> str:
    return f"{version.version} was learned from the same rows and settings"


def _found(facts: _Facts, stage: str, needed: tuple[str, ...]) -> Planned | None:
    """Return the stage as skipped where an earlier attempt finished all that is needed."""
    wanted = set(needed) - ({"importance"} if not facts.config.training.importance.enabled else set())
    if not wanted or not wanted <= set(facts.finished):
        return None
    return Planned(stage, "skip", "", f"an attempt that ended early finished {', '.join(sorted(wanted))}")


def _count(number: int | None, what: str) -> str:
    if number is None:
        return f"an unknown number of {what}s"
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
