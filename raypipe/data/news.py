"""What the sources hold that no data version does: the batch that the next ingest would bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from raypipe.core.ids import Json
from raypipe.core.progress import Progress
from raypipe.data.batch_rules import batches_before
from raypipe.data.config import DataSettings
from raypipe.data.feeds import Feed, feeds_of
from raypipe.data.sources.digest import digest_of
from raypipe.data.sources.rows import PieceRows
from raypipe.data.sources.source import Piece
from raypipe.data.versions import DataVersion


@dataclass
class News:
    """Counts the new rows among pieces that are read anyhow."""

    history: Sequence[DataVersion]
    recipe: str
    all_is_new: bool
    n_rows: int = 0
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    _held: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, settings: DataSettings, history: Sequence[DataVersion], progress: Progress, *, all_is_new: bool
    ) -> News:
        """Return what is new to `history` under these settings; nothing where no rule asks."""
        if settings.contract.volume is None:
            return cls((), "", all_is_new=False)
        made = cls(history, feeds_of(settings, progress).feeds[0].recipe, all_is_new)
        for version in history:
            # An equal piece that is listed twice is held twice, by one version.
            made._held |= Counter(
                (one.source, digest)
                for one in version.fragments
                if one.recipe == made.recipe
                for digest in one.digests
            )
        return made

    @property
    def before(self) -> list[int]:
        """Return the rows of the batches before, as `batches_before` does."""
        return batches_before(self.history, frozenset((self.recipe,)))

    def note(self, feed: Feed, piece: Piece, rows: PieceRows) -> None:
        """Count the rows of a piece if it is new; those of an appended source are counted at its end."""
        if not self.recipe or (feed.source.is_appended and not self.all_is_new):
            return
        key = (feed.source.name, piece.digest or digest_of(rows.table))
        self._seen[key] += 1
        if self.all_is_new or self._seen[key] > self._held[key]:
            self.n_rows += rows.table.num_rows

    def end(self, feed: Feed) -> None:
        """Count what an appended source has after the position that the newest version came to."""
        if self.recipe and feed.source.is_appended and not self.all_is_new:
            new = feed.source.pieces(self._position(feed.source.name))
            self.n_rows += sum(feed.read(piece).table.num_rows for piece in new)

    def _position(self, source: str) -> Json:
        for version in self.history:
            held = [one for one in version.fragments if one.source == source]
            if held and held[0].recipe == self.recipe:
                return held[-1].position
        return None
