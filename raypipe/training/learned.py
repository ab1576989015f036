"""What a run found, before it is registered; whatever an earlier attempt finished is found again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from raypipe.core.home import PipelineHome
from raypipe.registry.store import Registry
from raypipe.training.importance import Importance, read_importance
from raypipe.training.kept import RunFolder
from raypipe.training.leaderboard import Leaderboard
from raypipe.training.race import RaceResult


@dataclass(frozen=True)
class Learned:
    """A race, how it was judged, and what the columns are worth to its winner."""

    race: RaceResult
    leaderboard: Leaderboard
    importance: Importance | None
    """None where it is not measured."""
    imported_from: str = ""
    """The file that the model was made elsewhere as; empty for one that was learned here."""

    def beside_the_last(self, registry: Registry, folder: PipelineHome) -> Learned:
        """Return the same with how the columns moved since the version that was registered last."""
        last = next(iter(registry.model_versions(folder.name)), None)
        earlier = None if last is None else read_importance(folder.model(last.version))
        if self.importance is None or last is None or earlier is None:
            return self
        return replace(self, importance=self.importance.compared_with(last.version, earlier))


def learned_before(kept: RunFolder, *, weighed: bool) -> Learned | None:
    """Return what an earlier attempt found; None where a stage is missing (`weighed`: importance is one)."""
    race, leaderboard, importance = kept.race(), judged_before(kept), weighed_before(kept)
    if race is None or leaderboard is None or (weighed and importance is None):
        return None
    return Learned(race, leaderboard, importance if weighed else None)


def judged_before(kept: RunFolder) -> Leaderboard | None:
    """Return the leaderboard that an earlier attempt came to."""
    found = kept.found("judge")
    return None if found is None else Leaderboard.from_json(found)


def weighed_before(kept: RunFolder) -> Importance | None:
    """Return the importance of columns that an earlier attempt measured."""
    found = kept.found("importance")
    return None if found is None else Importance.from_json(found)
