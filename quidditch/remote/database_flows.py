"""A database of a server: its indices by name, searches and writes over several of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from quidditch.errors import MappingError, RequestError
from quidditch.index.catalog import check_name
from quidditch.interface import BulkResult, CheckReport, IndexInfo, SearchResult
from quidditch.remote.clauses import whole_body
from quidditch.remote.encoding import encode
from quidditch.remote.exchange import Flow, Request
from quidditch.remote.loading import bulk
from quidditch.remote.managing import NATIVE, about, flag, info_of, no_backup
from quidditch.remote.results import check_report, index_infos, search_result
from quidditch.types import Json


class DatabaseFlows:
    """Flows of a database.

    bulk_bytes:  of one request of a bulk
    """

    def __init__(self, bulk_bytes: int) -> None:
        self.bulk_bytes = bulk_bytes

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> Flow[str]:
        """A new, empty index.

        raises: IndexExists, MappingError, RequestError (the name or a setting)
        """
        path = about(check_name(name))
        content = encode({"mappings": mappings, "settings": settings})
        yield Request("PUT", path, content=content, repeat="unsent", writes=True, misfit=MappingError)
        return name

    def index(self, name: str) -> Flow[str]:
        """raises: IndexNotFound"""
        if not isinstance(name, str):
            raise RequestError(f"index: a name expected, not {name!r}")
        yield from info_of(name)
        return name

    def exists(self, name: object) -> Flow[bool]:
        """Whether there is an index of this name."""
        if not isinstance(name, str):
            return False
        answer = yield Request("GET", about(name), accepts=(404,))
        return answer.status == 200

    def indices(self) -> Flow[list[str]]:
        """The names of all indices, sorted."""
        return sorted((yield from self.describe()))

    def describe(self) -> Flow[dict[str, IndexInfo]]:
        """What is known of every index, by name, all as of one moment."""
        answer = yield Request("GET", f"{NATIVE}/indices")
        return index_infos(answer.json())

    def delete_index(self, name: str) -> Flow[None]:
        """Remove an index and its files.

        raises: IndexNotFound
        """
        if not isinstance(name, str):
            raise RequestError(f"delete_index: a name expected, not {name!r}")
        yield Request("DELETE", about(name), repeat="unsent", writes=True)

    def open_index(self, name: str) -> Flow[None]:
        """Take back `close_index`.

        raises: IndexNotFound
        """
        yield Request("POST", about(name, "open"), writes=True)

    def close_index(self, name: str) -> Flow[None]:
        """Refuse reads and writes of an index until `open_index`; those that run end as they would have.

        raises: IndexNotFound
        """
        yield Request("POST", about(name, "close"), writes=True)

    def update_aliases(self, actions: Sequence[Json]) -> Flow[None]:
        """Give indices further names, or take them away: all of the actions at once, or none.

        actions:  `{"add": {"index": "logs-1", "alias": "logs"}}`, `{"remove": {...}}`; `add` may hold a `filter`,
                  `routing` and `is_write_index`, and both may hold `indices`, `aliases` and patterns
        raises: IndexNotFound, RequestError   naming the action that cannot be carried out
        """
        if isinstance(actions, str | bytes | dict) or not isinstance(actions, Iterable):
            raise RequestError(f"update_aliases: a list of actions expected, not {type(actions).__name__}")
        content = encode({"actions": list(actions)})
        yield Request("POST", f"{NATIVE}/aliases", content=content, repeat="unsent", writes=True)

    def search(self, index: str, body: dict[str, Json] | None = None) -> Flow[SearchResult]:
        """Search with an OpenSearch request body; `index` is a name or an alias, several with commas, or patterns.

        raises: IndexNotFound, QueryError, RequestError
        """
        if not isinstance(index, str) or not index:
            raise RequestError(f"search: an index name, or several with commas, expected, not {index!r}")
        answer = yield Request("POST", about(index, "_search"), content=encode(whole_body(body)))
        return search_result(answer.json())

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> Flow[BulkResult]:
        """Carry out many writes, to one index or several; `items` says what became of each, in order.

        An index that is not there is an error of its items: nothing is created on the way.
        raises: StorageError   a request of several could not be carried out; `error.partial` says what became of
                               those before
        """
        return (yield from bulk(actions, None, refresh, self.bulk_bytes))

    def check(self, *, deep: bool = True, progress: bool = False) -> Flow[CheckReport]:
        """Verify the catalogue and every index; see `Index.check`."""
        answer = yield Request("POST", f"{NATIVE}/check", {"deep": flag(deep)}, lasting=True)
        return check_report(answer.json())

    def backup(self, path: str | Path, *, progress: bool = False) -> Flow[None]:
        """raises: Unsupported   a copy is made beside the directory, on the server's machine"""
        yield from ()
        raise no_backup("the database", path)
