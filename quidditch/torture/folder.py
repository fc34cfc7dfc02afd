"""The directory of a campaign: the index under torture, the journals, and what is kept of rounds with findings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from quidditch.errors import RequestError
from quidditch.torture.report import Finding

MARK = "torture.json"
"""The file that says that a directory is a campaign's."""


class Folder:
    """`index/` is an ordinary Quidditch directory, `journals/<round>/` what its writers wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = path / "index"
        self._journals = path / "journals"
        self._ours = False

    def claim(self, seed: int) -> None:
        """Make the directory, or clear away what an earlier campaign left in it; what that kept stays.

        raises: RequestError   something else is there
        """
        self._ours = not self.path.exists() or (self.path / MARK).is_file()
        if not self._ours and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RequestError(
                f"torture: {self.path} is there and not from torture; name a directory that is new, or empty"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / MARK).write_bytes(msgspec.json.encode({"seed": seed}) + b"\n")
        self.clear()

    def clear(self) -> None:
        """Begin with nothing."""
        for part in (self.index, self._journals):
            if part.exists():
                shutil.rmtree(part)

    def journals(self, round: int) -> Path:
        """The folder of a round's journals, made if need be."""
        path = self._journals / f"{round:05d}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def kept(self, seed: int, round: int) -> Path:
        """Where a round with findings is going to be kept."""
        path = self.path / f"kept-{seed}-{round}"
        again = 1
        while path.exists():
            again += 1
            path = self.path / f"kept-{seed}-{round}-{again}"
        return path

    def keep(self, path: Path, findings: Sequence[Finding]) -> None:
        """Move the index, as it was found, and its journals there, with the findings beside them."""
        path.mkdir()
        for part in (self.index, self._journals):
            if part.exists():
                part.rename(path / part.name)
        told = [finding.to_dict() for finding in findings]
        (path / "findings.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2))

    def leave(self) -> None:
        """Remove all that is not worth keeping, the directory itself if it was made here and nothing is left."""
        self.clear()
        if not any(self.path.glob("kept-*")):
            (self.path / MARK).unlink()
            if self._ours:
                self.path.rmdir()
