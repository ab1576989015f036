"""Putting a canary beside the champion, and taking it away: moves of the pointer that leave the champion be.

Each goes through the alias `champion`, which is given to the version that has it, under a new epoch: so a
controller that was replaced moves nothing, and neither does one that does not know of a newer release.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from raypipe.core.errors import StaleEpoch
from raypipe.registry.manifest import verify
from raypipe.serving.pointer import Canary, Pointer, legible_pointer
from raypipe.serving.releases import CHAMPION, Releases


@dataclass(frozen=True)
class Canaries:
    """Moves the canary of one pipeline, for the controller that `releases` names."""

    releases: Releases

    def put(self, canary: Canary, champion: str) -> Pointer:
        """Name a canary beside `champion`; where it stands there already, nothing is changed.

        The canary's digest is the registry's, whatever it says. Raises UnknownVersion, ArtifactError for a
        folder that is not what was registered, and StaleEpoch for another champion or controller.
        """
        registry, folder = self.releases.registry, self.releases.folder
        model = registry.model_version(folder.name, canary.version)
        canary = replace(canary, manifest_sha256=model.manifest_sha256)
        known = legible_pointer(folder.pointer)
        if known is not None and (known.version, known.canary) == (champion, canary):
            return known
        verify(folder.model(canary.version), model.manifest_sha256)
        share = f"{canary.weight:.0%} of the rows"
        return self._stay(champion, f"{canary.version} answers {share} beside it", canary)

    def withdraw(self) -> Pointer | None:
        """Let the champion answer all; return None where no canary stood beside it."""
        folder = self.releases.folder
        known = legible_pointer(folder.pointer)
        if known is None or known.canary is None:
            return None
        champion = self.releases.registry.alias(folder.name, CHAMPION)
        if champion is None:
            raise StaleEpoch(f"{folder.name} must have a champion to answer all. Got none.")
        return self._stay(champion, f"{known.canary.version} answers no more beside it", None)

    def _stay(self, champion: str, reason: str, canary: Canary | None) -> Pointer:
        releases = self.releases
        name = releases.folder.name
        model = releases.registry.model_version(name, champion)
        change = releases.registry.set_alias(
            name, CHAMPION, champion, expected=champion, reason=reason, controller=releases.controller
        )
        return releases.point(Pointer(champion, model.manifest_sha256, change.epoch, canary))
