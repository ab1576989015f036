"""What the controller does to release a version."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from raypipe.config.load import parse_config
from raypipe.control.endpoint import EndpointReleases
from raypipe.core.errors import StaleEpoch
from raypipe.pipeline import Loop, no_compute
from raypipe.registry.store import Registry
from raypipe.serving.pointer import Pointer, read_pointer
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version


class Told:
    """Keeps what would be broadcast."""

    def __init__(self) -> None:
        self.pointers: list[Pointer] = []

    def tell(self, pointer: Pointer) -> None:
        self.pointers.append(pointer)


def test_a_promotion_is_announced_once_the_pointer_has_moved(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = parse_config(
            {
                "name": "tiny",
                "home": "home",
                "data": {"sources": [{"name": "f", "format": "csv", "path": "*.csv"}], "label": "outcome"},
                "serving": {"port": closed.getsockname()[1]},
                "registry": {"mlflow": {"uri": "http://127.0.0.1:9"}},
            },
            tmp_path,
        )
        registry, told = Registry(config.root.registry_url, FakeClock()), Told()
        for _ in range(2):
            register_tiny_version(registry, config.folder)
        releases = EndpointReleases(Loop(config, registry, FakeClock(), no_compute), told.tell)
        epochs = [
            releases.promote("v1", None, "the first", 1),
            releases.promote("v2", "v1", "passed its gate", 1),
        ]
        with pytest.raises(StaleEpoch):
            releases.promote("v1", "v9", "decided long ago", 1)
    assert [(one.version, one.epoch) for one in told.pointers] == [("v1", epochs[0]), ("v2", epochs[1])]
    assert told.pointers[-1] == read_pointer(config.folder.pointer)
    assert config.folder.mlflow_log.exists(), "MLflow is told too, by a process that finds nobody there"
