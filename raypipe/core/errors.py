"""Everything raypipe raises on purpose.

    RaypipeError                    one sentence that says what to do
    ├── ConfigError                 the config or the command line is wrong (exit code 2)
    ├── DataError                   rows cannot be used as declared
    │   ├── SourceError             a source cannot be found or read
    │   ├── SchemaError             columns or types differ from what was declared or seen before
    │   ├── LabelError              the label is absent, constant, or cannot be learned
    │   ├── ContractError           a batch breaks a rule of the contract that refuses it
    │   └── SinkError               rows cannot be written where they were sent
    ├── TrainingError               no trial produced a model
    ├── RunUnderWay                 another process carries out the same run
    ├── RegistryError               the registry refuses
    │   ├── UnknownVersion          no such data or model version
    │   ├── ArtifactError           a model folder is not what the registry recorded
    │   └── StaleEpoch              another writer has moved on
    ├── ServingError                the endpoint refuses or cannot be reached
    │   ├── EndpointUnavailable     no answer came, however often it was asked
    │   └── NotAllowed              the endpoint asks for a token, or for another one
    ├── ClusterError                Ray cannot be started, joined or stopped
    └── StorageError                the home cannot be written (full, read-only, no permission)

Each takes its text as the one positional argument, so that it survives pickling through Ray.
"""

from __future__ import annotations


class RaypipeError(Exception):
    """Base of every error that raypipe raises on purpose; its text is one sentence for a person."""

    exit_code = 1


class ConfigError(RaypipeError):
    """The config file or the command line is wrong."""

    exit_code = 2


class DataError(RaypipeError):
    """Rows cannot be used as declared."""


class SourceError(DataError):
    """A source cannot be found or read."""


class SchemaError(DataError):
    """Columns or types differ from what was declared or seen before."""


class LabelError(DataError):
    """The label is absent, constant, or cannot be learned."""


class ContractError(DataError):
    """A batch breaks a rule of the contract that refuses it."""


class SinkError(DataError):
    """Rows cannot be written where they were sent."""


class TrainingError(RaypipeError):
    """No trial produced a model."""


class RunUnderWay(RaypipeError):
    """Another process carries out the same run."""


class RegistryError(RaypipeError):
    """The registry refuses."""


class UnknownVersion(RegistryError):
    """No such data or model version."""


class ArtifactError(RegistryError):
    """A model folder is not what the registry recorded."""


class StaleEpoch(RegistryError):
    """Another writer has moved on."""


class ServingError(RaypipeError):
    """The endpoint refuses or cannot be reached."""


class EndpointUnavailable(ServingError):
    """No answer came from the endpoint, however often it was asked."""


class NotAllowed(ServingError):
    """The endpoint asks for a token, or for another one."""


class ClusterError(RaypipeError):
    """Ray cannot be started, joined or stopped."""


class StorageError(RaypipeError):
    """The home cannot be written."""
