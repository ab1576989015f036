"""The file system of a path follows from the longest mount point above it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.registry.mounts import file_system, network_file_system

MOUNTS = """\
proc /proc proc rw 0 0
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
tmpfs /tmp tmpfs rw 0 0
overmounted /tmp nfs rw 0 0
half a
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/ann/.raypipe", "nfs4"),
        ("/home/local/raypipe", "xfs"),
        ("/homestead", "ext4"),
        ("/mnt/my share/raypipe", "cifs"),
        ("/tmp/x", "nfs"),
    ],
)
def test_longest_mount_point_wins_and_later_covers_earlier(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_nothing_is_known_without_mounts() -> None:
    assert file_system(Path("/home"), "") is None
    assert network_file_system(Path("/home"), "") is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.s3fs", "9p", "lustre"])
def test_network(kind: str) -> None:
    assert network_file_system(Path("/a/b"), f"x /a {kind} rw 0 0") == kind


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuseblk", "apfs"])
def test_local(kind: str) -> None:
    assert network_file_system(Path("/a/b"), f"x /a {kind} rw 0 0") is None
