from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.api.client.faulty import Scripted, serving


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as server:
        yield server
