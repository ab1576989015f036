"""`promote` and `rollback` where no endpoint is up: the home makes the release, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import UnknownVersion

Command = Callable[..., Any]


def test_promote_and_rollback_without_an_endpoint(credit: Path, command: Command) -> None:
    told = command("promote", "v2", str(credit)).text.splitlines()
    assert told[0].startswith("v2 is the champion, epoch ")
    assert told[1].startswith(
        "released in the home, over no endpoint: the endpoint http://127.0.0.1:1/credit"
    )
    back = command("rollback", str(credit), "--json").json
    assert (back["version"], back["url"], back["over"]) == ("v1", None, "home")
    with pytest.raises(UnknownVersion, match="no other champion"):
        command("rollback", str(credit))
