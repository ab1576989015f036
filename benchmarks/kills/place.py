"""The folder that controllers, jobs and people share, and how each decision goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from raypipe.core.clock import SystemClock
from raypipe.core.home import Home, PipelineHome
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.releases import Releases

NAME = "kills"
Course = Literal["fine", "harm", "worse", "silent"]
COURSES: tuple[Course, ...] = ("fine", "harm", "fine", "worse", "fine", "silent")
"""How decisions go in turn."""
SETTINGS = RetrainingSettings.model_validate(
    {
        "triggers": {"quality_bound": 0.9},
        "warm_up_labels": 0,
        "cool_down_s": 0,
        "max_per_day": 10_000,
        "rollout": {
            "shadow": {"deadline_s": 0.3},
            "canary": {"weights": [0.1, 0.5], "hold_s": 0, "deadline_s": 60},
        },
    }
)


@dataclass(frozen=True)
class Place:
    """A home with one pipeline; `webhook` is where alerts go."""

    root: Path
    webhook: str

    @property
    def folder(self) -> PipelineHome:
        return Home(self.root).pipeline(NAME)

    @cached_property
    def registry(self) -> Registry:
        return Registry(Home(self.root).registry_url, SystemClock())

    def releases(self, controller: int | None = None) -> Releases:
        return Releases(self.registry, self.folder, controller=controller)

    @property
    def jobs(self) -> Path:
        """A line for each job that began: its decision."""
        return self.root / "jobs.log"

    @property
    def is_ending(self) -> bool:
        """Whether no further retrain shall begin."""
        return (self.root / "ending").exists()

    def end(self) -> None:
        (self.root / "ending").touch()

    def register(self, run: str) -> ModelVersion:
        """Register a version that a run made; its files hold nothing of use."""
        staged = self.folder.staging / run
        staged.mkdir(parents=True)
        (staged / "model.txt").write_text(run)
        draft = ManifestDraft(NAME, "d-1", run, {}, "none", "json", {}, {}, {})
        return self.registry.register(NAME, staged, self.folder.models, draft)


def course_of(decision: str) -> Course:
    """Return how a decision goes."""
    return COURSES[int(decision.rpartition("-")[2]) % len(COURSES)]
