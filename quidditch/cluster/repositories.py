"""The repositories that a cluster knows by name, and its snapshots in them: what the REST API is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quidditch.cluster.restoring import restore
from quidditch.cluster.snapshots import Told, take, untold
from quidditch.errors import DocumentNotFound, RequestError
from quidditch.schema.mapping import nearest
from quidditch.snapshots.repository import Manifest, Repository, in_words
from quidditch.snapshots.wish import Wish

if TYPE_CHECKING:
    from quidditch.cluster.coordinator import ClusterDatabase


class RepositoryNotFound(DocumentNotFound):
    """No repository is registered under this name."""

    type = "repository_missing_exception"


class ClusterSnapshots:
    """Snapshots of a cluster in directories that its operator allows: those below `roots`, on this machine."""

    def __init__(self, database: ClusterDatabase, roots: Sequence[Path]) -> None:
        self._database = database
        self._roots = [root.resolve() for root in roots]

    def repositories(self) -> dict[str, str]:
        """The location of each, as it was given, by name."""
        return dict(sorted(self._database.catalogue.repositories().items()))

    def register(self, name: str, location: str) -> None:
        """Know a directory by a name; a repository is made there, if there is none.

        raises: RequestError   the location is not below a root, or holds other files
        """
        Repository(self._allowed(name, location), create=True)
        self._change(lambda before: {**before, name: location})

    def forget(self, name: str) -> None:
        """Know it no longer; its files stay. raises: RepositoryNotFound"""
        self._location(name)
        self._change(lambda before: {one: where for one, where in before.items() if one != name})

    def _change(self, alter: Callable[[dict[str, str]], dict[str, str]]) -> None:
        self._database.catalogue.change_repositories(alter)

    def _location(self, name: str) -> str:
        known = self.repositories()
        if name not in known:
            raise RepositoryNotFound(f"[{name}] missing{nearest(name, known)}")
        return known[name]

    def repository(self, name: str) -> Repository:
        """raises: RepositoryNotFound, RequestError, StorageError"""
        return Repository(self._allowed(name, self._location(name)))

    def _allowed(self, name: str, location: str) -> Path:
        """Where that is, links followed. raises: RequestError"""
        if not self._roots:
            raise RequestError(
                f"[{name}] location [{location}]: this server allows none: rest.repositories names the directories"
            )
        if "\0" in location:
            raise RequestError(f"[{name}] location {location!r}: no path has a null in it")
        with in_words(Path(location)):
            path = (self._roots[0] / location).resolve()
        if not any(path.is_relative_to(root) for root in self._roots):
            raise RequestError(
                f"[{name}] location [{location}] doesn't match any of the locations specified by rest.repositories: "
                + ", ".join(map(str, self._roots))
            )
        return path

    def take(
        self, repository: str, name: str, indices: Sequence[str] | None, told: Told = untold
    ) -> Manifest:
        """As `snapshots.take`."""
        return take(self._database, self.repository(repository), name, indices, told)

    def restore(self, repository: str, name: str, wish: Wish, told: Told = untold) -> dict[str, int]:
        """As `restoring.restore`."""
        return restore(self._database, self.repository(repository), name, wish, told)
