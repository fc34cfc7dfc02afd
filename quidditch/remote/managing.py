"""Indices as a whole: what is known of them, mappings, settings, upkeep."""

from __future__ import annotations

from pathlib import Path

from quidditch.errors import MappingError, RequestError, Unsupported
from quidditch.interface import CheckReport, IndexInfo, IndexStats
from quidditch.remote.encoding import encode
from quidditch.remote.exchange import Flow, Request, step
from quidditch.remote.results import check_report, index_infos, index_stats
from quidditch.types import Json

NATIVE = "/_quidditch"


def about(name: str, *steps: str) -> str:
    """The path of an index beside OpenSearch's API."""
    return "/".join([NATIVE, "indices", step(name), *steps])


def info_of(name: str) -> Flow[IndexInfo]:
    """raises: IndexNotFound"""
    answer = yield Request("GET", about(name))
    return index_infos(answer.json())[name]


class UpkeepFlows:
    """Flows of an index about itself."""

    name: str

    def _path(self, *steps: str) -> str:
        raise NotImplementedError

    def mappings(self) -> Flow[dict[str, Json]]:
        """The mapping in OpenSearch's shape."""
        answer = yield Request("GET", about(self.name, "mappings"))
        found: dict[str, Json] = answer.json()
        return found

    def settings(self) -> Flow[dict[str, Json]]:
        """The settings that were given."""
        info = yield from info_of(self.name)
        return dict(info.settings)

    def put_mappings(self, mappings: dict[str, Json]) -> Flow[None]:
        """Add fields; documents already there keep what was indexed.

        raises: MappingError   for a change that documents already indexed could not follow
        """
        path = about(self.name, "mappings")
        yield Request("PUT", path, content=encode(mappings), writes=True, misfit=MappingError)

    def put_settings(self, settings: dict[str, Json], *, preserve: bool = False) -> Flow[None]:
        """Change settings; None takes one back, and with `preserve` those that are there stay as they are.

        raises: RequestError   naming one that is unknown, or that an index has from its beginning
        """
        path, parameters = about(self.name, "settings"), {"preserve": flag(preserve)}
        yield Request("PUT", path, parameters, encode(settings), writes=True)

    def refresh(self) -> Flow[None]:
        """Make every write that was acknowledged visible to searches."""
        yield Request("POST", self._path("_refresh"))

    def flush(self) -> Flow[None]:
        """Have everything acknowledged on disk, and make a segment of buffered documents."""
        yield Request("POST", self._path("_flush"), writes=True, lasting=True)

    def force_merge(self, max_segments: int = 1) -> Flow[None]:
        """Join the segments into at most `max_segments`, without the deleted documents. Rewrites the index."""
        if isinstance(max_segments, bool) or not isinstance(max_segments, int) or max_segments < 1:
            raise RequestError(f"force_merge: max_segments: 1 or more expected, not {max_segments!r}")
        parameters = {"max_num_segments": str(max_segments)}
        yield Request("POST", self._path("_forcemerge"), parameters, writes=True, lasting=True)

    def stats(self, *, detail: bool = False) -> Flow[IndexStats]:
        """Documents, segments, and bytes on disk by structure.

        detail:  also what is in each structure's pages, and how much of it is each field's; reads every row
        """
        answer = yield Request("GET", about(self.name, "stats"), {"detail": flag(detail)}, lasting=detail)
        return index_stats(answer.json())

    def check(self, *, deep: bool = True, progress: bool = False) -> Flow[CheckReport]:
        """Verify every page, checksum and structure on the server's disk, each against the others; changes nothing.

        deep:      analyse the stored documents anew too, and compare; takes about as long as indexing did
        progress:  draws nothing: the server tells the result alone
        """
        answer = yield Request("POST", about(self.name, "check"), {"deep": flag(deep)}, lasting=True)
        return check_report(answer.json())

    def backup(self, path: str | Path, *, progress: bool = False) -> Flow[None]:
        """raises: Unsupported   a copy is made beside the directory, on the server's machine"""
        yield from ()
        raise no_backup(self.name, path)


def no_backup(what: str, path: object) -> Unsupported:
    return Unsupported(
        f"backup of {what} to [{path}]: a server copies nothing to where a client says; run `quidditch backup` on "
        "its machine, which works while it serves"
    )


def flag(value: bool) -> str:
    return "true" if value else "false"
