"""A released version that answers in no time, and the endpoint that serves it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from raypipe.core.home import Home, PipelineHome
from raypipe.registry.store import Registry
from raypipe.serving.capture import AnsweredRow, CaptureState
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.feedback import Label
from raypipe.serving.operator import Operator
from raypipe.serving.pointer import Pointer, write_pointer
from raypipe.serving.releases import Releases
from raypipe.serving.swap import VersionHolder, load_version
from raypipe.serving.token import Guard, keep_token
from raypipe.testing import FakeClock
from raypipe.testing.serving import write_tiny_version

TOKEN = "f" * 64


class ListCapture:
    """Keeps what it is given; `fail` makes it refuse labels."""

    def __init__(self) -> None:
        self.rows: list[AnsweredRow] = []
        self.kept: list[Label] = []
        self.fail: Exception | None = None

    def predictions(self, rows: list[AnsweredRow], version: str, at: object) -> None:
        self.rows += rows

    def labels(self, labels: list[Label], at: object) -> None:
        if self.fail:
            raise self.fail
        self.kept += labels

    def state(self) -> CaptureState:
        return CaptureState(True, len(self.rows))

    def close(self) -> None: ...


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("tiny")


@pytest.fixture
def released(folder: PipelineHome) -> Pointer:
    pointer = write_tiny_version(folder, "v1", epoch=1)
    write_pointer(folder.pointer, pointer)
    return pointer


@pytest.fixture
def capture() -> ListCapture:
    return ListCapture()


@pytest.fixture
def versions(folder: PipelineHome, released: Pointer, clock: FakeClock) -> VersionHolder:
    return VersionHolder(folder.pointer, partial(load_version, folder), clock)


@pytest.fixture
def make_endpoint(versions: VersionHolder, capture: ListCapture, clock: FakeClock) -> Callable[..., Endpoint]:
    def make(**settings: object) -> Endpoint:
        return Endpoint(
            "tiny",
            ServingSettings(**settings),
            versions=versions,
            capture=capture,
            clock=clock,
            replica="r1",
            spec_id="e-0",
        )

    return make


@pytest.fixture
def registry(folder: PipelineHome, clock: FakeClock) -> Registry:
    """Return a registry with nothing in it yet."""
    return Registry(Home(folder.root.parent).registry_url, clock)


@pytest.fixture
def operator(folder: PipelineHome, registry: Registry, versions: VersionHolder, clock: FakeClock) -> Operator:
    token = Home(folder.root.parent).operator_token
    keep_token(token, TOKEN)
    guard = Guard(token, clock, "this path is the operator's")
    return Operator(guard, Releases(registry, folder), versions.follow)


@pytest.fixture
def endpoint(make_endpoint: Callable[..., Endpoint]) -> Endpoint:
    return make_endpoint()
