"""Which file systems an index must not be written on.

LMDB maps its file into memory and keeps its table of readers in a mapped lock file: both need one machine's memory.
Over a network another machine sees neither, and two writers can destroy the file.
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

NETWORK = frozenset(
    (
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs",
        "orangefs", "pvfs2", "ocfs2", "gfs2", "9p", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs",
        "fuse.rclone", "fuse.gcsfuse", "fuse.davfs",
    )
)  # fmt: skip
"""File systems, as Linux calls them, whose files another machine may have open too."""


def network_filesystem(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of network file system that a path lies on; None for a local one, and where it cannot be told.

    Linux only: elsewhere nothing is told, and nothing is refused.
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = Path(_unescaped(fields.split(" ")[4]))
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split(" ")[0]
    return kind if kind in NETWORK else None


def _unescaped(field: str) -> str:
    """Spaces and the like are written as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
