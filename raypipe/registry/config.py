"""What the `registry` part of a config says."""

from __future__ import annotations

from raypipe.core.settings import Settings
from raypipe.data.config import RetentionSettings


class ModelRetentionSettings(RetentionSettings):
    """Which model versions `raypipe models gc` keeps: those that either rule keeps; without both, all.

    Versions that an alias names, that are pinned, that serve, wait for a verdict or are the way back are
    kept whatever is said here, and so is the newest.
    """


class RegistrySettings(Settings):
    """How long what was learned is kept."""

    retention: ModelRetentionSettings = ModelRetentionSettings()
