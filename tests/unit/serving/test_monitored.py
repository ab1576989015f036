from __future__ import annotations

import os
from pathlib import Path

from raypipe.core.files import write_json
from raypipe.core.home import Home
from raypipe.serving.monitored import Monitored


def test_what_the_controller_left_is_read_as_it_changes(tmp_path: Path) -> None:
    folder = Home(tmp_path).pipeline("p")
    folder.root.mkdir()
    monitored = Monitored(folder)
    assert monitored.read() == {"window": None, "outlook": None}
    write_json(folder.window, {"n_rows": 1})
    assert monitored.read() == {"window": {"n_rows": 1}, "outlook": None}
    write_json(folder.window, {"n_rows": 2})
    os.utime(folder.window, ns=(1, 1))
    assert monitored.read() == {"window": {"n_rows": 2}, "outlook": None}
    folder.outlook.write_text("{")
    assert monitored.read() == {"window": {"n_rows": 2}, "outlook": None}
