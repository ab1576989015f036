"""The loop of a retrain: grow → prepare → learn → compare, with a run's own stages, on live rows too.

What is learned is judged beside the champion, on live rows that neither was trained or tuned on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raypipe.core.errors import UnknownVersion
from raypipe.data.versions import DataVersion
from raypipe.pipeline import Loop, Outcome
from raypipe.policy.config import RetrainAction
from raypipe.registry.store import ModelVersion
from raypipe.serving.releases import CHAMPION
from raypipe.training.prepared import Prepared, windows_of

if TYPE_CHECKING:
    from raypipe.training.compare import Answers, Comparison


@dataclass(frozen=True)
class RetrainingLoop(Loop):
    """The loop of a pipeline that has a champion."""

    def retrain(self, decision: str, action: RetrainAction = "retrain") -> tuple[Outcome, Prepared]:
        """Learn from the sources and all labelled live traffic, under the id of a decision.

        The action says how; `rollback` learns nothing, and is `earlier`.

        The test rows of what comes back are the newest live ones, which neither this version nor the champion
        was trained or tuned on: `compare` judges by them. A decision that was carried out before is not
        again. Raises DataError where there are too few new labels.
        """
        data = self._learned_from(decision) or self.grow()
        prepared = self._by(action, data)
        return self.finished(decision, data) or self.learn(decision, data, prepared), prepared

    def earlier(self) -> tuple[ModelVersion, Prepared]:
        """Return the version that a rollback would go back to, and rows to judge it by beside the champion.

        They are the newest labelled live ones, none of which either version was trained or tuned on. Raises
        UnknownVersion where there is no such version, DataError where there are no such rows.
        """
        from raypipe.training.again import judging_alone

        name, folder, back = self.config.name, self.config.folder, self.releases.way_back()
        if back is None:
            raise UnknownVersion(f"no version was the champion of {name} before {self._champion()}.")
        champion, version = (self.registry.model_version(name, one) for one in (self._champion(), back))
        known = [self.registry.data_version(name, one.data_version) for one in (champion, version)]
        rows = self.config.retraining.gate.max_rows
        return version, judging_alone(folder, self.grow(), champion, known=known, max_rows=rows)

    def _by(self, action: RetrainAction, data: DataVersion) -> Prepared:
        """Return rows prepared as an action needs them; what cannot be trained on is fitted anew."""
        from raypipe.training.again import continued, refitted

        config = self.config
        champion = self.registry.model_version(config.name, self._champion())
        if action == "retrain":
            return self.prepare_grown(data)
        found: Prepared | str = ""
        if action == "continue":
            found = continued(
                config.folder,
                data,
                champion,
                known=self.registry.data_version(config.name, champion.data_version),
                split=config.data.split,
                max_rows=config.retraining.gate.max_rows,
                settings=config.training,
            )
        if isinstance(found, str):
            note, grown = found, self.prepare_grown(data)
            found = refitted(grown, config.folder, champion, config.training)
            found = replace(found, note="; ".join(one for one in (note, found.note) if one))
        self._say(action, found.note or f"from {champion.version}, its parameters are kept")
        return found

    def _learned_from(self, run: str) -> DataVersion | None:
        """Return the rows of a run that was begun before: rows of now may judge what it was trained on."""
        from raypipe.training.kept import data_of

        name = self.config.name
        made = next((one for one in self.registry.model_versions(name) if one.run == run), None)
        id = data_of(self.config.folder.runs / run) if made is None else made.data_version
        return None if id is None else self.registry.data_version(name, id)

    def grow(self) -> DataVersion:
        """Join what was captured and labelled to the rows of the sources, as the next version."""
        from raypipe.data.growth import grow

        return grow(
            self.config.data,
            self.config.folder,
            self._versions,
            clock=self.clock,
            progress=self.progress,
            redacted=self.config.serving.capture.redact,
        )

    def prepare_grown(self, data: DataVersion) -> Prepared:
        """Split so that only live rows choose and judge which the champion's data version does not hold."""
        from raypipe.training.preparing import prepared_grown

        config, before = self.config, self._champion()
        champion = self.registry.model_version(config.name, before)
        prepared = prepared_grown(
            config.folder,
            data,
            known=self.registry.data_version(config.name, champion.data_version),
            max_rows=config.retraining.gate.max_rows,
            data=config.data,
            processing=config.processing,
            training=config.training,
        )
        windows = windows_of(prepared.split.train.num_rows)
        return replace(self._told(prepared), windows=windows, champion=before)

    def compare(self, version: ModelVersion, prepared: Prepared) -> Comparison:
        """Score a version beside the champion that the test rows were kept from.

        A version that is damaged, or does not answer as it did, has an error in the place of a score.
        """
        from raypipe.training.compare import compare
        from raypipe.training.slices import slices_of

        champion = self.registry.model_version(self.config.name, prepared.champion or self._champion())
        self._say(
            "gate", f"{version.version} beside {champion.version}, {prepared.split.test.num_rows:,} rows"
        )
        before, after = (self._answers(one, prepared) for one in (champion, version))
        target = prepared.task.encode(prepared.split.test[prepared.task.label])
        slices = slices_of(prepared.split.test, prepared.transform.inputs)
        seed, margin = self.config.training.seed, self.config.retraining.gate.margin
        return compare(prepared.task, target, before, after, seed=seed, slices=slices, margin=margin)

    def _answers(self, version: ModelVersion, prepared: Prepared) -> Answers:
        from raypipe.serving.judging import answers_to

        folder = self.config.folder.model(version.version)
        return answers_to(prepared.split.test, prepared.task, folder, version)

    def _champion(self) -> str:
        champion = self.registry.alias(self.config.name, CHAMPION)
        if champion is None:
            raise UnknownVersion(f"{self.config.name} has no champion to compare with; run and release one.")
        return champion
