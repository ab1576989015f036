"""The loop, written once: collect → prepare → encode → race → judge → register, and then `releases`.

A person's `raypipe run`, a notebook's `Pipeline.run()` and a retrain all call the same stages, in the same
order. Each stage takes what the one before it returned; what must outlive the process is in the home.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.config.settings import Config
from raypipe.core.clock import Clock
from raypipe.core.errors import ClusterError, DataError
from raypipe.core.ids import Json, content_id
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.versions import DataVersion, readable
from raypipe.registry.datasets import PipelineVersions
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.releases import Releases
from raypipe.training.frameworks import frameworks
from raypipe.training.leaderboard import Leaderboard
from raypipe.training.own.families import check_models, code_digests
from raypipe.training.prepared import WITHOUT_EFFECT, Prepared
from raypipe.training.trials import Trials

if TYPE_CHECKING:
    from raypipe.training.importance import Importance
    from raypipe.training.kept import RunFolder
    from raypipe.training.learned import Learned
    from raypipe.training.race import RaceResult, TrainingSet

CHALLENGER = "challenger"


@dataclass(frozen=True)
class Outcome:
    """What one run of the loop made, or found made already."""

    run: str
    data: DataVersion
    version: ModelVersion
    leaderboard: Leaderboard
    is_new: bool
    before: tuple[str, ...] = ()
    """What an earlier attempt had finished, a sentence a stage."""
    importance: Importance | None = None
    """None where it was not measured."""


@dataclass(frozen=True)
class Loop:
    """One pipeline's loop; its methods are its stages, in the order in which `run` calls them.

    `compute` connects this process to a Ray for as long as its block lasts, and says how many trials fit.
    """

    config: Config
    registry: Registry
    clock: Clock
    compute: Callable[[], AbstractContextManager[Trials]]
    progress: Progress = silent

    def run(self, *, force: bool = False, data: str | None = None) -> Outcome:
        """Go from the sources, or from the data version that `data` names, to a registered model version.

        Equal rows under equal settings have been learned from before: that version is returned, and nothing
        is trained and no Ray is needed, unless `force`.
        """
        rows = self.collect() if data is None else self.known(data)
        run = self.run_id(rows)
        done = None if force else self.finished(run, rows)
        return done or self.learn(run, rows, self.prepare(rows), force=force)

    def known(self, id: str) -> DataVersion:
        """Return a data version that was collected before; raises UnknownVersion, and DataError if its rows
        are gone or cannot be learned from under these settings.
        """
        found = readable(self.registry.data_versions(self.config.name), id)
        for key, name in (("label", self.config.data.label_name), ("time", self.config.data.time)):
            if name is not None and name not in [column.name for column in found.columns]:
                raise DataError(f"data.{key} must be a column of {id} to learn from it. Got {name!r}.")
        self._say("collect", f"{id}: {found.n_rows:,} rows, as they were collected")
        return found

    def collect(self) -> DataVersion:
        """Read the sources, apply the contract, and keep the rows as an immutable version."""
        from raypipe.data.ingest import ingest
        from raypipe.serving.amending import amend

        data, folder = self.config.data, self.config.folder
        found = ingest(data, folder, self._versions, clock=self.clock, progress=self.progress)
        amend(self.registry, folder, self.progress)
        return found

    def run_id(self, data: DataVersion) -> str:
        """Return the id of learning from these rows under these settings."""
        settings: Json = {
            "raypipe": installed("raypipe"),
            "data": data.content,
            "drop": list(self.config.data.drop),
            "split": self.config.data.split.model_dump(mode="json"),
            "processing": self.config.processing.model_dump(mode="json", exclude={"compute"}),
            "training": self.config.training.model_dump(mode="json", exclude=WITHOUT_EFFECT),
            "code": code_digests(self.config.training),
        }
        return content_id("r", settings)

    def finished(self, run: str, data: DataVersion) -> Outcome | None:
        """Return what an earlier run with this id made, if it came to its end."""
        from raypipe.training.importance import read_importance

        found = next((v for v in self.registry.model_versions(self.config.name) if v.run == run), None)
        if found is None:
            return None
        self._say("done before", f"{found.version} was learned from the same rows and settings")
        importance = read_importance(self.config.folder.model(found.version))
        return Outcome(run, data, found, Leaderboard.from_json(found.metrics), False, importance=importance)

    def learn(self, run: str, data: DataVersion, prepared: Prepared, *, force: bool = False) -> Outcome:
        """Race, judge and register; what was tested is what is registered.

        What an earlier attempt at the same content finished is not done again, unless `force`.
        """
        from raypipe.training.kept import open_run, remove_leftovers
        from raypipe.training.learned import learned_before

        folder = self.config.folder
        remove_leftovers(folder.runs, folder.staging)
        check_models(self.config.training, prepared.task)
        needed = {**frameworks(), **code_digests(self.config.training)}
        content = prepared.content(data.content, self.config.training, needed)
        with open_run(folder.runs / run, content=content, data=data.id, fresh=force) as kept:
            with self._as_read(run, data):
                pass
            before = kept.before(self.config.training.budget.trials)
            for finished in before:
                self._say("resume", finished)
            weighed = self.config.training.importance.enabled
            learned = learned_before(kept, weighed=weighed) or self._learn(kept, prepared)
            kept.forget_features()
            learned = learned.beside_the_last(self.registry, folder)
            version = self.register(run, data, prepared, learned)
        return Outcome(run, data, version, learned.leaderboard, True, before, learned.importance)

    @contextmanager
    def _as_read(self, run: str, data: DataVersion) -> Iterator[None]:
        """Refuse rows that were removed or erased since they were read; none are while the block lasts.

        Once a run has begun, its folder keeps a version from being removed. What it learned from rows that
        were erased goes.
        """
        from raypipe.data.turns import turn

        with turn(self.config.folder, self.progress):
            known = self.registry.data_version(self.config.name, data.id)
            if known is not None and known.content != data.content:
                shutil.rmtree(self.config.folder.runs / run, ignore_errors=True)
                raise DataError(
                    f"rows of people were erased from {data.id} since this run read them; run again, "
                    "which learns without them."
                )
            if known is not None:
                readable([known], data.id)
            yield

    def _learn(self, kept: RunFolder, prepared: Prepared) -> Learned:
        from raypipe.training.learned import Learned, judged_before, weighed_before

        with self.compute() as trials:
            features = self.encode(prepared, kept.features)
            race = kept.race() or self.race(kept, features, trials)
            leaderboard = judged_before(kept) or self.judge(prepared, features, race)
            kept.keep("judge", leaderboard.to_json())
            importance = weighed_before(kept) or self.weigh(prepared, features, race, leaderboard, trials)
        if importance is not None:
            kept.keep("importance", importance.to_json())
        return Learned(race, leaderboard, importance)

    def prepare(self, data: DataVersion) -> Prepared:
        """Split the rows, by time where there is one, and fit the features on the training part alone."""
        from raypipe.training.preparing import prepared_version

        self._say("prepare", "reading and splitting rows")
        config = self.config
        return self._told(
            prepared_version(
                config.folder, data, data=config.data, processing=config.processing, training=config.training
            )
        )

    def encode(self, prepared: Prepared, place: Path) -> TrainingSet:
        """Turn the training and validation rows into features and targets; many are in files at `place`."""
        from raypipe.training.encoding import training_set

        return training_set(prepared, self.config.processing.compute, place)

    def race(self, kept: RunFolder, features: TrainingSet, trials: Trials) -> RaceResult:
        """Search over the model families, in parallel, within the budget."""
        from raypipe.training.on_ray.tuner import race

        return race(
            features,
            self.config.training,
            kept=kept,
            cpus_per_trial=trials.cpus_per_trial,
            max_concurrent=trials.max_concurrent,
            progress=self.progress,
        )

    def judge(self, prepared: Prepared, features: TrainingSet, race: RaceResult) -> Leaderboard:
        """Score the best of each family once on the test rows, with intervals."""
        from raypipe.training.encoding import judging_rows
        from raypipe.training.judge import judge

        self._say("judge", f"{prepared.split.test.num_rows:,} test rows, {len(race.candidates)} models")
        return judge(
            race,
            features,
            *judging_rows(prepared, features, self.config.processing.compute),
            ordered_by_time=prepared.split.by == "time",
            seed=self.config.training.seed,
        )

    def weigh(
        self,
        prepared: Prepared,
        features: TrainingSet,
        race: RaceResult,
        leaderboard: Leaderboard,
        trials: Trials,
    ) -> Importance | None:
        """Measure what each column is worth to the winner, and what is suspicious about it."""
        from raypipe.training.on_ray.importance import measure_over_ray
        from raypipe.training.weighing import weigh

        settings, spread = self.config.training, partial(measure_over_ray, cpus=trials.cpus_per_trial)
        if not settings.importance.enabled:
            return None
        self._say("importance", f"{len(prepared.transform.inputs)} columns")
        return weigh(prepared, features, race, leaderboard.winner, settings, spread=spread)

    def register(self, run: str, data: DataVersion, prepared: Prepared, learned: Learned) -> ModelVersion:
        """Keep the winner as an immutable version: its files, their digests, golden rows and a card."""
        from raypipe.serving.package import Package, draft_of, write_package

        leaderboard = learned.leaderboard
        winner = next(c for c in learned.race.candidates if c.family == leaderboard.winner)
        package = Package(
            pipeline=self.config.name,
            run=run,
            data_version=data.id,
            created_at=self.clock.now(),
            settings=self.config.without_secrets().model_dump(mode="json"),
            candidate=winner,
            transform=prepared.transform,
            split=prepared.split,
            task=prepared.task,
            leaderboard=leaderboard,
            profile=prepared.profile,
            importance=learned.importance,
            slices=self.config.monitoring.slices,
            imported_from=learned.imported_from,
            code=code_digests(self.config.training, winner.family),
        )
        staged, models = self.config.folder.staging / run, self.config.folder.models
        with self._as_read(run, data):
            write_package(staged, package)
            version = self.registry.register(self.config.name, staged, models, draft_of(package))
        self.registry.set_alias(self.config.name, CHALLENGER, version.version, reason="the newest run's best")
        self._say("register", f"{version.version}: {winner.family}")
        return version

    @property
    def releases(self) -> Releases:
        """What puts a registered version behind the endpoint, and back."""
        return Releases(self.registry, self.config.folder, self.progress)

    def _told(self, prepared: Prepared) -> Prepared:
        from raypipe.processing.report import report_lines

        for line in report_lines(prepared.transform):
            self._say("prepare", line)
        return prepared

    @property
    def _versions(self) -> PipelineVersions:
        return PipelineVersions(self.registry, self.config.name)

    def _say(self, stage: str, message: str) -> None:
        self.progress(Step(stage, message))


def no_compute() -> AbstractContextManager[Trials]:
    """Serve as a loop's `compute` where only stages without Ray are called; raises ClusterError."""
    raise ClusterError("this loop has no Ray; call the stages that train through a pipeline.")
