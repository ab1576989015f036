"""The loop, written once: collect → prepare → encode → race → judge → register, and then `releases`.

A person's `raypipe run`, a notebook's `Pipeline.run()` and a retrain all call the same stages, in the same
order. Each stage takes what the one before it returned; what must outlive the process is in the home.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from raypipe.config.settings import Config
from raypipe.core.clock import Clock
from raypipe.core.errors import ClusterError, UnknownVersion
from raypipe.core.files import storage_errors, write_json
from raypipe.core.ids import Json, content_id
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.versions import DataVersion
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.releases import CHAMPION, Releases
from raypipe.training.leaderboard import Leaderboard

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.data.profile import Profile
    from raypipe.data.split import Split
    from raypipe.processing.transform import FittedTransform
    from raypipe.training.compare import Comparison
    from raypipe.training.models import Float32Matrix
    from raypipe.training.race import RaceResult, TrainingSet
    from raypipe.training.task import Task

CHALLENGER = "challenger"
TRIALS_NAME = "trials.json"
MIN_WINDOW_ROWS = 200
RAY_DATA_ROWS = 5_000_000
"""Above so many rows, `compute: auto` transforms over Ray Data instead of in this process."""


@dataclass(frozen=True)
class Prepared:
    """Rows split, what to learn from them, and how they become features."""

    split: Split
    task: Task
    transform: FittedTransform
    profile: Profile
    """Of the training rows."""
    windows: tuple[int, ...] = ()
    """How many of the newest training rows a trial may learn from; all if empty."""
    champion: str | None = None
    """The version whose rows neither choose nor judge; None where rows of the sources do."""


@dataclass(frozen=True)
class Outcome:
    """What one run of the loop made, or found made already."""

    run: str
    data: DataVersion
    version: ModelVersion
    leaderboard: Leaderboard
    is_new: bool


@dataclass(frozen=True)
class Trials:
    """How many trials run side by side, and what each holds."""

    cpus_per_trial: float
    max_concurrent: int


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

    def run(self, *, force: bool = False) -> Outcome:
        """Go from the sources to a registered model version.

        Equal rows under equal settings have been learned from before: that version is returned, and nothing
        is trained and no Ray is needed, unless `force`.
        """
        data = self.collect()
        run = self.run_id(data)
        done = None if force else self.finished(run, data)
        return done or self.learn(run, data, self.prepare(data))

    def collect(self) -> DataVersion:
        """Read the sources, apply the contract, and keep the rows as an immutable version."""
        from raypipe.data.ingest import ingest

        newest = next(iter(self.registry.data_versions(self.config.name)), None)
        version = ingest(
            self.config.data,
            self.config.folder,
            find=partial(self.registry.data_version, self.config.name),
            parent=newest.id if newest else None,
            clock=self.clock,
            progress=self.progress,
        )
        self.registry.add_data_version(self.config.name, version)
        return version

    def run_id(self, data: DataVersion) -> str:
        """Return the id of learning from these rows under these settings."""
        settings: Json = {
            "raypipe": installed("raypipe"),
            "data": data.id,
            "drop": list(self.config.data.drop),
            "split": self.config.data.split.model_dump(mode="json"),
            "processing": self.config.processing.model_dump(mode="json", exclude={"compute"}),
            "training": self.config.training.model_dump(mode="json", exclude={"resources"}),
        }
        return content_id("r", settings)

    def finished(self, run: str, data: DataVersion) -> Outcome | None:
        """Return what an earlier run with this id made, if it came to its end."""
        found = next((v for v in self.registry.model_versions(self.config.name) if v.run == run), None)
        if found is None:
            return None
        self._say("done before", f"{found.version} was learned from the same rows and settings")
        return Outcome(run, data, found, Leaderboard.from_json(found.metrics), is_new=False)

    def retrain(self, decision: str) -> tuple[Outcome, Prepared]:
        """Learn from the sources and all labelled live traffic, under the id of a decision.

        The test rows of what comes back are the newest live ones, which neither this version nor the champion
        was trained or tuned on: `compare` judges by them. A decision that was carried out before is not
        again. Raises DataError where there are too few new labels.
        """
        data = self._learned_from(decision) or self.grow()
        prepared = self.prepare_grown(data)
        return self.finished(decision, data) or self.learn(decision, data, prepared), prepared

    def _learned_from(self, run: str) -> DataVersion | None:
        """Return the rows of a run that came to its end: rows of now may judge what it was trained on."""
        name = self.config.name
        made = next((one for one in self.registry.model_versions(name) if one.run == run), None)
        return None if made is None else self.registry.data_version(name, made.data_version)

    def grow(self) -> DataVersion:
        """Join what was captured and labelled to the rows of the sources, as the next version."""
        from raypipe.data.growth import grow

        version = grow(
            self.config.data,
            self.config.folder,
            self.collect(),
            find=partial(self.registry.data_version, self.config.name),
            clock=self.clock,
            progress=self.progress,
        )
        self.registry.add_data_version(self.config.name, version)
        return version

    def prepare_grown(self, data: DataVersion) -> Prepared:
        """Split so that only live rows choose and judge which the champion's data version does not hold."""
        from raypipe.data.growth import live_ids, read_grown, split_grown

        before = self._champion()
        champion = self.registry.model_version(self.config.name, before)
        known = self.registry.data_version(self.config.name, champion.data_version)
        rows = read_grown(self.config.folder, data)
        seen = live_ids(self.config.folder, known) if known else frozenset()
        split = split_grown(
            rows,
            self.config.data.split,
            max_rows=self.config.retraining.gate.max_rows,
            seen=seen,
            time=self.config.data.time,
        )
        names = [column.name for column in data.columns]
        prepared = self._prepared(data, rows.select(names), split)
        return replace(prepared, windows=_windows(split.train.num_rows), champion=before)

    def compare(self, version: ModelVersion, prepared: Prepared) -> Comparison:
        """Score a version beside the champion that the test rows were kept from.

        Raises ArtifactError for a version that is damaged or does not answer as it did.
        """
        from raypipe.serving.predictor import load_predictor
        from raypipe.training.compare import aligned, compare

        champion = self.registry.model_version(self.config.name, prepared.champion or self._champion())
        self._say(
            "gate", f"{version.version} beside {champion.version}, {prepared.split.test.num_rows:,} rows"
        )
        answers = []
        for one in (champion, version):
            predictor = load_predictor(self.config.folder.model(one.version), one.manifest_sha256)
            features = predictor.transform.transform_table(prepared.split.test)
            found = aligned(predictor.model.predict(features), predictor.task, prepared.task)
            answers.append((one.version, found))
        target = prepared.task.encode(prepared.split.test[prepared.task.label])
        return compare(prepared.task, target, answers[0], answers[1], seed=self.config.training.seed)

    def learn(self, run: str, data: DataVersion, prepared: Prepared) -> Outcome:
        """Race, judge and register; what was tested is what is registered."""
        with self.compute() as trials:
            features = self.encode(prepared)
            race = self.race(run, features, trials)
            leaderboard = self.judge(prepared, features, race)
        version = self.register(run, data, prepared, race, leaderboard)
        return Outcome(run, data, version, leaderboard, is_new=True)

    def prepare(self, data: DataVersion) -> Prepared:
        """Split the rows, by time where there is one, and fit the features on the training part alone."""
        from raypipe.data.ingest import read_rows
        from raypipe.data.split import split_rows

        self._say("prepare", "reading and splitting rows")
        rows = read_rows(self.config.folder, data)
        seed, time = self.config.training.seed, self.config.data.time
        return self._prepared(data, rows, split_rows(rows, self.config.data.split, time=time, seed=seed))

    def encode(self, prepared: Prepared) -> TrainingSet:
        """Turn the training and validation rows into features and targets."""
        from raypipe.training.race import TrainingSet

        split, task, transform = prepared.split, prepared.task, prepared.transform
        return TrainingSet(
            x_train=self._features(transform, split.train),
            y_train=task.encode(split.train[task.label]),
            x_validation=self._features(transform, split.validation),
            y_validation=task.encode(split.validation[task.label]),
            task=task,
            feature_names=transform.feature_names,
            windows=prepared.windows,
        )

    def race(self, run: str, features: TrainingSet, trials: Trials) -> RaceResult:
        """Search over the model families, in parallel, within the budget."""
        from raypipe.training.on_ray import race

        folder = self.config.folder.runs / run
        with storage_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        found = race(
            features,
            self.config.training,
            folder=folder,
            cpus_per_trial=trials.cpus_per_trial,
            max_concurrent=trials.max_concurrent,
            progress=self.progress,
        )
        write_json(folder / TRIALS_NAME, [asdict(trial) for trial in found.trials])
        return found

    def training_s(self, run: str) -> float:
        """Return the seconds that all trials of a run spent in training."""
        trials = json.loads((self.config.folder.runs / run / TRIALS_NAME).read_bytes())
        return float(sum(trial["train_s"] for trial in trials))

    def judge(self, prepared: Prepared, features: TrainingSet, race: RaceResult) -> Leaderboard:
        """Score the best of each family once on the test rows, with intervals."""
        from raypipe.training.judge import judge

        self._say("judge", f"{prepared.split.test.num_rows:,} test rows, {len(race.candidates)} models")
        test = prepared.split.test
        return judge(
            race,
            features,
            self._features(prepared.transform, test),
            prepared.task.encode(test[prepared.task.label]),
            ordered_by_time=prepared.split.by == "time",
            seed=self.config.training.seed,
        )

    def register(
        self, run: str, data: DataVersion, prepared: Prepared, race: RaceResult, leaderboard: Leaderboard
    ) -> ModelVersion:
        """Keep the winner as an immutable version: its files, their digests, golden rows and a card."""
        from raypipe.serving.package import Package, write_package

        winner = next(c for c in race.candidates if c.family == leaderboard.winner)
        package = Package(
            pipeline=self.config.name,
            run=run,
            data_version=data.id,
            created_at=self.clock.now(),
            settings=self.config.model_dump(mode="json"),
            candidate=winner,
            transform=prepared.transform,
            split=prepared.split,
            task=prepared.task,
            leaderboard=leaderboard,
            profile=prepared.profile,
        )
        staged = self.config.folder.root / "staging" / run
        write_package(staged, package)
        draft = ManifestDraft(
            pipeline=self.config.name,
            data_version=data.id,
            run=run,
            task=prepared.task.to_json(),
            family=winner.family,
            format=winner.format,
            params=winner.params,
            metrics=leaderboard.to_json(),
            frameworks=frameworks(),
        )
        version = self.registry.register(self.config.name, staged, self.config.folder.models, draft)
        self.registry.set_alias(self.config.name, CHALLENGER, version.version, reason="the newest run's best")
        self._say("register", f"{version.version}: {winner.family}")
        return version

    @property
    def releases(self) -> Releases:
        """What puts a registered version behind the endpoint, and back."""
        return Releases(self.registry, self.config.folder, self.config.serving.replicas.min, self.progress)

    def _prepared(self, data: DataVersion, rows: pa.Table, split: Split) -> Prepared:
        from raypipe.data.profile import Profile
        from raypipe.processing.fit import fit_transform
        from raypipe.training.task import infer_task

        label = self.config.data.label_name
        self._keep_profile(data, Profile.of_table(rows))
        task = infer_task(self.config.training, label, rows[label])
        profile = Profile.of_table(split.train)
        transform = fit_transform(profile, data.columns, self.config.data, self.config.processing)
        self._say("prepare", f"{len(transform.feature_names)} features of {len(transform.inputs)} columns")
        return Prepared(split, task, transform, profile)

    def _champion(self) -> str:
        champion = self.registry.alias(self.config.name, CHAMPION)
        if champion is None:
            raise UnknownVersion(f"{self.config.name} has no champion to compare with; run and release one.")
        return champion

    def _features(self, transform: FittedTransform, rows: pa.Table) -> Float32Matrix:
        compute = self.config.processing.compute
        if compute == "ray" or (compute == "auto" and rows.num_rows > RAY_DATA_ROWS):
            from raypipe.processing.on_ray import transform_over_ray

            return transform_over_ray(rows, transform)
        return transform.transform_table(rows)

    def _keep_profile(self, data: DataVersion, profile: Profile) -> None:
        path = self.config.folder.profile(data.id)
        if not path.exists():
            write_json(path, profile.to_json())

    def _say(self, stage: str, message: str) -> None:
        self.progress(Step(stage, message))


def _windows(n_rows: int) -> tuple[int, ...]:
    """Return how far back a retrain may look: few rows learn a new concept, many an old one well.

    The validation rows, which are newer, choose.
    """
    wanted = (n_rows // 8, n_rows, n_rows // 64)
    return tuple(n for n in wanted if n >= MIN_WINDOW_ROWS) or (n_rows,)


def no_compute() -> AbstractContextManager[Trials]:
    """Serve as a loop's `compute` where only stages without Ray are called; raises ClusterError."""
    raise ClusterError("this loop has no Ray; call the stages that train through a pipeline.")


def frameworks() -> dict[str, str]:
    """Return the versions of the libraries that a model's numbers may depend on."""
    return {
        name: installed(name) for name in ("raypipe", "numpy", "polars", "scikit-learn", "xgboost", "torch")
    }
