"""Network file systems are told by the kernel's table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

import quidditch
from quidditch import StorageError
from quidditch.index import filesystems
from quidditch.index.filesystems import network_filesystem

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /mnt/home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
31 30 0:26 / /mnt/home/local rw - xfs /dev/vdb rw
32 22 0:27 / /mnt/with\\040space rw - fuse.sshfs me@there: rw
33 22 0:28 / /mnt/twice rw - cifs //server/share rw
34 22 0:29 / /mnt/twice rw - tmpfs tmpfs rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/data", None),
        ("/mnt/home", "nfs4"),
        ("/mnt/home/me/index", "nfs4"),
        ("/mnt/home/local/index", None),
        ("/mnt/homes/index", None),
        ("/mnt/with space/index", "fuse.sshfs"),
        ("/mnt/twice/index", None),
    ],
)
def test_the_deepest_and_last_mount_says_what_a_path_lies_on(
    mounts: Path, path: str, kind: str | None
) -> None:
    assert network_filesystem(Path(path), mounts) == kind


def test_nothing_is_told_where_there_is_no_table(tmp_path: Path) -> None:
    assert network_filesystem(tmp_path, tmp_path / "absent") is None


def test_writing_there_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with quidditch.connect(tmp_path / "data") as database:
        database.create_index("books").add({"title": "dune"})
    table = tmp_path / "mountinfo"
    table.write_text(f"{MOUNTS}40 22 0:30 / {tmp_path.resolve()} rw - nfs server:/x rw\n")
    monkeypatch.setattr(filesystems.network_filesystem, "__defaults__", (table,))
    with pytest.raises(StorageError, match=r"network file system \(nfs\)"):
        quidditch.connect(tmp_path / "data")
    with quidditch.connect(tmp_path / "data", readonly=True) as database:
        assert database["books"].count("dune") == 1
    with quidditch.connect(tmp_path / "data", allow_network_files=True) as database:
        database["books"].add({"title": "dune"})
