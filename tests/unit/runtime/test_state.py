"""The record of a cluster is read as it was written, or refused with a sentence; reading it is cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raypipe.core.errors import ClusterError, StorageError
from raypipe.core.home import Home
from raypipe.runtime.state import Cluster, forget_cluster, read_cluster, write_cluster
from raypipe.testing import FailingDisk


def test_round_trip(home: Home, cluster: Cluster) -> None:
    write_cluster(home, cluster)
    assert read_cluster(home) == cluster
    forget_cluster(home)
    forget_cluster(home)
    assert read_cluster(home) is None


def test_a_home_that_does_not_exist(home: Home) -> None:
    assert read_cluster(Home(home.root / "absent")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": 1}', '"x"'])
def test_a_damaged_record(home: Home, text: str) -> None:
    home.cluster_file.write_text(text)
    with pytest.raises(ClusterError, match="must be as raypipe wrote it"):
        read_cluster(home)


def test_a_full_disk(home: Home, cluster: Cluster) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        write_cluster(home, cluster, FailingDisk())
    assert read_cluster(home) is None


def test_reading_imports_neither_ray_nor_psutil(home: Home, cluster: Cluster) -> None:
    write_cluster(home, cluster)
    code = (
        "import sys; from pathlib import Path; from raypipe.core.home import Home;"
        "from raypipe.runtime.state import read_cluster; import raypipe.runtime.status;"
        f"assert read_cluster(Home(Path({str(home.root)!r})));"
        "print([name for name in ('ray', 'psutil', 'numpy', 'sqlalchemy') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
