"""Who answered a captured row, and why: the champion, or one of the two arms of a canary.

In the column `role` an arm is written as `canary@12#9f3a01c7~slow`: the arm, the epoch of the pointer that
named the canary with its weight, a digest of the key that decided (where one did), and whether it took too
long.

>>> read_role("canary@12#9f3a01c7~slow")
Role(arm='canary', epoch=12, key='9f3a01c7', slow=True)
>>> read_role("champion") is None
True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

Arm: TypeAlias = Literal["canary", "control", "fallback"]
"""`control` is the champion for a row that might have gone to the canary as well, `fallback` the champion
for one that did go there, and failed."""
CHAMPION = "champion"
_ROLE = re.compile(r"(canary|control|fallback)@([0-9]+)(?:#([0-9a-f]+))?(~slow)?")


@dataclass(frozen=True)
class Role:
    """A row's part in a canary."""

    arm: Arm
    epoch: int
    key: str | None = None
    slow: bool = False

    @property
    def text(self) -> str:
        """What `read_role` reads back."""
        key = "" if self.key is None else f"#{self.key}"
        return f"{self.arm}@{self.epoch}{key}{'~slow' if self.slow else ''}"


def read_role(text: str) -> Role | None:
    """Return a row's part in a canary; None where it had none."""
    found = _ROLE.fullmatch(text)
    if found is None:
        return None
    arm, epoch, key, slow = found.groups()
    return Role(cast("Arm", arm), int(epoch), key, slow is not None)
