"""Which file system a path lies on."""

from __future__ import annotations

import re
from pathlib import Path

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|afs|ceph|lustre|gpfs|beegfs|glusterfs|9p|davfs"
    r"|fuse\.(sshfs|s3fs|gcsfuse|goofys|rclone|glusterfs|ceph.*|juicefs|mount-s3|blobfuse2?|cephfs|davfs2?)"
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mounts: str) -> str | None:
    """Return the type of the file system that holds `path`, by the text of /proc/mounts; None if unknown."""
    found, depth = None, -1
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[1]))
        if path.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = fields[2], len(point.parts)
    return found


def network_file_system(path: Path, mounts: str) -> str | None:
    """Return the type of the file system that holds `path` if other machines share it, else None."""
    kind = file_system(path, mounts)
    return kind if kind is not None and _NETWORK.fullmatch(kind) else None
