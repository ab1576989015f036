"""What is known of a challenger beside the champion on rows whose labels came after the gate's first look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import msgspec

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.stats.gains import Gains
from raypipe.training.compare import Comparison


@dataclass(frozen=True)
class GateEvidence:
    """Bets on the gains of blocks of rows, and how both score on all the rows, without an interval."""

    gains: Gains
    found: Comparison

    def to_json(self) -> Json:
        return cast("Json", msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, value: Json) -> GateEvidence:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        try:
            return msgspec.convert(value, cls)
        except msgspec.ValidationError as error:
            raise SchemaError(
                f"Evidence of a gate must be as it was written: {error}. Got {value!r:.200}."
            ) from error
