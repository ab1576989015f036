"""The base of every config model: frozen, closed, with messages a person can act on."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

ImportPath: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""`package.module:name`."""


class Settings(BaseModel):
    """A frozen model of one part of the config that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
