"""Releases: which version is the champion, how the endpoint comes to answer with it, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.core.errors import ServingError, UnknownVersion
from raypipe.core.home import PipelineHome
from raypipe.core.progress import Progress, Step, silent
from raypipe.registry.store import Registry
from raypipe.serving.client import wait_for_epoch
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer

CHAMPION = "champion"


@dataclass(frozen=True)
class Releases:
    """Moves the alias `champion` and the pointer of one pipeline, in this order, under one epoch."""

    registry: Registry
    folder: PipelineHome
    n_replicas: int = 1
    """How many replicas must follow before a promotion counts."""
    progress: Progress = silent

    def release(self, version: str, *, expected: str | None, reason: str) -> Pointer:
        """Make a version the champion and point the endpoint to it; replicas follow by themselves.

        `expected` is the present champion, None where there is none yet. Raises UnknownVersion for a version
        that is not registered, StaleEpoch where another release was faster.
        """
        name = self.folder.name
        model = self.registry.model_version(name, version)
        change = self.registry.set_alias(name, CHAMPION, version, expected=expected, reason=reason)
        return self._point(Pointer(version, model.manifest_sha256, change.epoch))

    def promote(
        self, version: str, *, expected: str | None, reason: str, url: str | None, timeout_s: float = 60.0
    ) -> Pointer:
        """Release a version, and see the endpoint at `url` follow (None: no endpoint is up).

        Where the version is the champion already, only the endpoint is looked at. Raises ServingError where
        the endpoint refuses: then what served before is the champion again, unless another release came in
        between.
        """
        if self.registry.alias(self.folder.name, CHAMPION) == version:
            known = read_pointer(self.folder.pointer)
            pointer = known if known is not None and known.version == version else self.point_again()
        else:
            pointer = self.release(version, expected=expected, reason=reason)
        if url is None:
            return pointer
        try:
            wait_for_epoch(url, pointer.epoch, timeout_s=timeout_s, n_replicas=self.n_replicas)
        except ServingError as error:
            if expected is not None and expected != version:
                self.release(expected, expected=version, reason=f"{version} was refused: {error}")
            raise
        return pointer

    def point_again(self) -> Pointer:
        """Write the pointer to the champion anew, where a crash or a hand left it behind the registry."""
        name = self.folder.name
        champion = self.registry.model_version(name, self.registry.aliases(name)[CHAMPION])
        epoch = self.registry.next_epoch(name)
        return self._point(Pointer(champion.version, champion.manifest_sha256, epoch))

    def previous(self) -> str:
        """Return the version to roll back to; raises UnknownVersion if no other was released before."""
        changes = self.registry.alias_history(self.folder.name, CHAMPION)
        standing = undone([change.version for change in reversed(changes)])
        if len(standing) < 2:
            raise UnknownVersion(f"{self.folder.name} has had no other champion to roll back to.")
        return standing[-2]

    def _point(self, pointer: Pointer) -> Pointer:
        write_pointer(self.folder.pointer, pointer)
        self.progress(Step("release", f"{pointer.version} is the champion, epoch {pointer.epoch}"))
        return pointer


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
