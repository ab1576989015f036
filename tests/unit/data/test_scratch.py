from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from raypipe.data.scratch import remove_dead, scratch_folder

HOLDER = """
import sys, time
from pathlib import Path
from raypipe.data.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_goes_with_its_block(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "token").write_text("secret")
        assert folder.parent == tmp_path and folder.name.startswith("rp-")
    assert not folder.exists()


def test_a_killed_process_leaves_one_that_the_next_removes(tmp_path: Path) -> None:
    (tmp_path / "rp-of-somebody-else").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        remove_dead(tmp_path)
        assert folder.exists(), "its process lives"
        process.send_signal(signal.SIGKILL)
    assert folder.exists()
    with scratch_folder(tmp_path) as own:
        assert {path.name for path in tmp_path.iterdir()} == {own.name, "rp-of-somebody-else"}
