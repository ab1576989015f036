"""How losses went over time: sums by blocks of windows, fine for the newest and ever coarser before.

Of each length 1, 2, 4, ... at most `N_EACH` blocks are kept; when one more comes, the two oldest of its
length become one of the next. So t windows are kept in about `N_EACH` * log2(t / `N_EACH`) blocks. Which
windows a block holds follows from their number alone, and what becomes known of a window later is added where
it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json

N_EACH = 16


@dataclass(frozen=True)
class Block:
    """The sums of windows in a row; `total` is the loss of the `n_known` rows whose loss is known."""

    first: int
    n_windows: int
    n_rows: int
    n_known: int = 0
    total: float = 0.0

    def __add__(self, later: Block) -> Block:
        return Block(
            self.first,
            self.n_windows + later.n_windows,
            self.n_rows + later.n_rows,
            self.n_known + later.n_known,
            self.total + later.total,
        )


@dataclass(frozen=True)
class Course:
    """The blocks of all windows so far, the oldest first.

    >>> [block.n_windows for block in Course().after(10).after(10).with_more(0, 8, 2.5).blocks]
    [1, 1]
    """

    blocks: tuple[Block, ...] = ()

    @property
    def n_windows(self) -> int:
        return sum(block.n_windows for block in self.blocks)

    def after(self, n_rows: int) -> Course:
        """Return the course after one more window, of whose rows no loss is known yet."""
        first = self.blocks[-1].first + self.blocks[-1].n_windows if self.blocks else 0
        return Course(_merged([*self.blocks, Block(first, 1, n_rows)]))

    def with_more(self, window: int, n_known: int, total: float) -> Course:
        """Return the course with so many more losses known of the rows of a window, of that sum."""
        return Course(
            tuple(
                replace(block, n_known=block.n_known + n_known, total=block.total + total)
                if block.first <= window < block.first + block.n_windows
                else block
                for block in self.blocks
            )
        )

    def to_json(self) -> Json:
        return [
            [block.first, block.n_windows, block.n_rows, block.n_known, block.total] for block in self.blocks
        ]

    @classmethod
    def from_json(cls, value: Json) -> Course:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        if not isinstance(value, list):
            raise SchemaError(f"A course must be a list of blocks. Got {value!r:.200}.")
        return cls(tuple(map(_block, value)))


def _merged(blocks: list[Block]) -> tuple[Block, ...]:
    """Return the blocks with the two oldest of each length that has too many put together."""
    length = 1
    while sum(block.n_windows == length for block in blocks) > N_EACH:
        at = next(place for place, block in enumerate(blocks) if block.n_windows == length)
        blocks[at : at + 2] = [blocks[at] + blocks[at + 1]]
        length *= 2
    return tuple(blocks)


def _block(value: Json) -> Block:
    match value:
        case [int(first), int(n_windows), int(n_rows), int(n_known), float() | int() as total]:
            return Block(first, n_windows, n_rows, n_known, float(total))
        case _:
            raise SchemaError(f"A block must have a place and sums. Got {value!r:.200}.")
