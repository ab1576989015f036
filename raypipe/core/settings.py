"""The base of every config model: frozen, closed, with messages a person can act on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen model of one part of the config that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
