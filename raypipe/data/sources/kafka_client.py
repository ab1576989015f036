"""The Kafka client, which an extra brings: imported when it is needed, one sentence where it is absent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from raypipe.core.errors import ConfigError, DataError

_LOGGER = "raypipe.kafka"


def kafka(who: str) -> ModuleType:
    """Return the module `confluent_kafka`; raises ConfigError where it is not installed."""
    try:
        import confluent_kafka
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{who} needs confluent-kafka, which is not installed: `pip install 'raypipe[kafka]'`."
        ) from error
    return confluent_kafka


def silent_logger() -> logging.Logger:
    """Return the logger that librdkafka writes to instead of the terminal; errors are raised all the same."""
    logger = logging.getLogger(_LOGGER)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


@contextmanager
def kafka_errors(api: ModuleType, what: str, kind: type[DataError]) -> Iterator[None]:
    """Turn what the client raises into `kind`."""
    try:
        yield
    except api.KafkaException as error:
        first = error.args[0] if error.args else error
        cause = first.str() if hasattr(first, "str") else str(first)
        raise kind(f"{what}: {cause}.") from error
