"""Releases: which version is the champion, how the endpoint comes to answer with it, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeAlias

from raypipe.core.errors import ArtifactError, ServingError, StaleEpoch, UnknownVersion
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step, silent
from raypipe.registry.manifest import verify
from raypipe.registry.models import removal_of
from raypipe.registry.store import Registry
from raypipe.registry.values import AliasChange
from raypipe.serving.client import wait_for_epoch
from raypipe.serving.pointer import Pointer, legible_pointer, write_pointer

CHAMPION = "champion"
BY_HAND = "promoted by hand"
ROLLED_BACK = "rolled back"
MAX_REASON_CHARACTERS = 500
Follow: TypeAlias = Callable[[Pointer], object]
"""Sees what answers come to a pointer; raises ServingError where it refuses."""


@dataclass(frozen=True)
class Release:
    """What a promotion or a rollback came to; `is_new` is false for one that was done before."""

    pointer: Pointer
    is_new: bool

    def to_json(self) -> dict[str, Json]:
        return {"version": self.pointer.version, "epoch": self.pointer.epoch, "is_new": self.is_new}


@dataclass(frozen=True)
class Releases:
    """Moves the alias `champion` and the pointer of one pipeline, in this order, under one epoch."""

    registry: Registry
    folder: PipelineHome
    progress: Progress = silent
    announce: Callable[[Pointer], object] | None = None
    """Told of each move of the pointer; replicas follow all the same, and it does not raise."""
    controller: int | None = None
    """The epoch of the controller that releases, None for a person: one that was replaced moves nothing."""

    def release(self, version: str, *, expected: str | None, reason: str) -> Pointer:
        """Make a version the champion and point the endpoint to it; replicas follow by themselves.

        `expected` is the present champion, None where there is none yet. Raises UnknownVersion for a version
        that is not registered, ArtifactError for one whose folder is not what was registered, and StaleEpoch
        where another release was faster.
        """
        model = self.registry.model_version(self.folder.name, version)
        try:
            verify(self.folder.model(version), model.manifest_sha256)
        except ArtifactError as error:
            stays = f", and {expected} stays the champion" if expected else ""
            raise ArtifactError(f"{version} was refused{stays}: {error}") from error
        return self._crown(version, expected=expected, reason=reason)

    def promote(
        self,
        version: str,
        *,
        expected: str | None,
        reason: str,
        epoch: int | None = None,
        follow: Follow | None = None,
    ) -> Release:
        """Release a version, and see the endpoint `follow` (None: no endpoint is up).

        `epoch` is the newest that the caller had seen: a change of the champion since then is a StaleEpoch,
        so that a repeat that comes late undoes nothing. Where the version is the champion already, only the
        endpoint is looked at. Raises what `release` does, and ServingError where the endpoint refuses: then
        what served before is the champion again, unless another release came in between.
        """
        release = self._moved(version, expected, epoch, reason)
        if follow is None:
            return release
        try:
            follow(release.pointer)
        except ServingError as error:
            if expected is not None and expected != version:
                # Unproven: damaged or not, it is what the replicas still hold.
                self._crown(expected, expected=version, reason=f"{version} was refused: {error}")
            raise
        return release

    def rollback(
        self, *, expected: str, reason: str, epoch: int | None = None, follow: Follow | None = None
    ) -> Release:
        """Go from the champion `expected` back to the one before it; a repeat goes back no further.

        Versions that were removed are passed over. Raises UnknownVersion if no other was released before
        that is there, and what `promote` does.
        """
        target = self._back_from(expected)
        return self.promote(target, expected=expected, reason=reason, epoch=epoch, follow=follow)

    def way_back(self) -> str | None:
        """Return the version that a rollback would go back to now; None where there is none."""
        versions = [change.version for change in reversed(self._changes())]
        return next(reversed(self._ways_back(versions)), None)

    def point_again(self) -> Pointer:
        """Write the pointer to the champion anew, where a crash or a hand left it behind the registry."""
        name = self.folder.name
        champion = self.registry.model_version(name, self.registry.aliases(name)[CHAMPION])
        epoch = self.registry.next_epoch(name, controller=self.controller)
        return self.point(Pointer(champion.version, champion.manifest_sha256, epoch))

    def settle(self) -> Pointer | None:
        """Point to the champion, where whoever released it died before that; None where all is well."""
        champion, known = (
            self.registry.alias(self.folder.name, CHAMPION),
            legible_pointer(self.folder.pointer),
        )
        if champion is None or (known is not None and known.version == champion):
            return None
        return self.point_again()

    def _moved(self, version: str, expected: str | None, epoch: int | None, reason: str) -> Release:
        if self._is_champion(version):
            return Release(self._settled(version), is_new=False)
        newest = next(iter(self._changes()), None)
        if newest is not None and epoch is not None and newest.epoch > epoch:
            raise self._stale(newest, expected, epoch)
        try:
            return Release(self.release(version, expected=expected, reason=reason), is_new=True)
        except StaleEpoch:
            if not self._is_champion(version):
                raise
            return Release(self._settled(version), is_new=False)  # A repeat of this very request was faster.

    def _back_from(self, expected: str) -> str:
        """Return the version before `expected`, also where the champion went back from it to that already."""
        changes = self._changes()
        versions = [change.version for change in reversed(changes)]
        if versions[-1:] == [expected]:
            return self._before(versions)
        was = changes[0].previous if changes else None
        if was == expected and self._ways_back(versions[:-1])[-1:] == versions[-1:]:
            return versions[-1]
        raise self._stale(next(iter(changes), None), expected, None)

    def _before(self, versions: Sequence[str]) -> str:
        removed = self._removed()
        gone = list(takewhile(removed.__contains__, reversed(undone(versions)[:-1])))
        said = "; ".join(f"{one} {removed[one]}" for one in gone)
        back = next(reversed(self._ways_back(versions)), None)
        if back is None:
            but = f": {said}" if said else ""
            raise UnknownVersion(f"{self.folder.name} has had no other champion to roll back to{but}.")
        if said:
            self.progress(Step("release", f"back to {back}, as {said}"))
        return back

    def _ways_back(self, versions: Sequence[str]) -> list[str]:
        """Return what could be gone back to from the last of these releases, oldest first."""
        removed = self._removed()
        return [one for one in undone(versions)[:-1] if one not in removed]

    def _removed(self) -> dict[str, str]:
        """Return the versions that were removed, each with when and why."""
        versions = self.registry.model_versions(self.folder.name, removed=True)
        return {one.version: removal_of(one) for one in versions if one.removed_at is not None}

    def _stale(self, newest: AliasChange | None, expected: str | None, epoch: int | None) -> StaleEpoch:
        found = f"{newest.version}, epoch {newest.epoch}" if newest else "none"
        seen = "" if epoch is None else f", as of epoch {epoch}"
        return StaleEpoch(
            f"the champion of {self.folder.name} must still be {expected or 'none'}{seen}. Got {found}: "
            "another release was faster; see `raypipe history`, then decide again."
        )

    def _changes(self) -> tuple[AliasChange, ...]:
        return self.registry.alias_history(self.folder.name, CHAMPION)

    def _is_champion(self, version: str) -> bool:
        return self.registry.alias(self.folder.name, CHAMPION) == version

    def _settled(self, version: str) -> Pointer:
        """Return the pointer to the champion, written anew where a process died before it had."""
        known = legible_pointer(self.folder.pointer)
        return known if known is not None and known.version == version else self.point_again()

    def _crown(self, version: str, *, expected: str | None, reason: str) -> Pointer:
        name = self.folder.name
        model = self.registry.model_version(name, version)
        change = self.registry.set_alias(
            name, CHAMPION, version, expected=expected, reason=reason, controller=self.controller
        )
        return self.point(Pointer(version, model.manifest_sha256, change.epoch))

    def point(self, pointer: Pointer) -> Pointer:
        """Move the pointer and tell of it; raises StaleEpoch where it moved on to another version."""
        try:
            write_pointer(self.folder.pointer, pointer)
        except StaleEpoch:
            known = legible_pointer(self.folder.pointer)
            if known is None or known.version != pointer.version:
                raise
            pointer = known  # A repeat of this very request was faster.
        self.progress(Step("release", f"{pointer.version} is the champion, epoch {pointer.epoch}"))
        if self.announce is not None:
            self.announce(pointer)
        return pointer


def answers_at(url: str, n_replicas: int, timeout_s: float = 60.0, token: str | None = None) -> Follow:
    """Return what waits until `n_replicas` replicas of the endpoint at `url` answer with a pointer.

    `token` is what its status asks for, if anything.
    """

    def follow(pointer: Pointer) -> None:
        wait_for_epoch(url, pointer.epoch, timeout_s=timeout_s, n_replicas=n_replicas, token=token)

    return follow


def undone(releases: Sequence[str]) -> list[str]:
    """Return the releases that stand, oldest first: going back to a version undoes all that came after it.

    >>> undone(["v1", "v2", "v3", "v2"])
    ['v1', 'v2']
    """
    standing: list[str] = []
    for version in releases:
        if version in standing:
            del standing[standing.index(version) :]
        standing.append(version)
    return standing
