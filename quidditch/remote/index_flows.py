"""All that an index of a server can be asked, as flows."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Dict
from typing import Any

from quidditch.interface import BulkResult
from quidditch.remote.documents import DocumentFlows
from quidditch.remote.exchange import Flow
from quidditch.remote.loading import add_many, bulk
from quidditch.remote.managing import UpkeepFlows
from quidditch.remote.searching import KEEP_ALIVE_S, SearchFlows, open_view


class IndexFlows(DocumentFlows, SearchFlows, UpkeepFlows):
    """Flows of one index. `bulk_bytes`: of one request of a bulk."""

    def __init__(self, name: str, bulk_bytes: int) -> None:
        self.name = name
        self.bulk_bytes = bulk_bytes

    def add_many(
        self,
        docs: Iterable[Dict[str, Any]],
        *,
        id_field: str | None = "_id",
        progress: bool = False,
        chunk: int | None = None,
        workers: int = 1,
    ) -> Flow[BulkResult]:
        """Add or replace a stream of documents in bounded memory; a document that does not fit fails alone.

        docs:      dicts, a pyarrow table or reader, a Polars or pandas frame
        id_field:  the field that holds the id; `_id` is no part of the source, any other field stays in it
        chunk:     documents of one request at most; without it, as many as `bulk_bytes` of `connect` holds
        workers:   changes nothing here: the server analyses the documents
        Each request is carried out before the next is sent. If `docs` raises, what it gave before is kept.
        raises: StorageError   a request could not be carried out; `error.partial` is what a return would have said
        """
        return (
            yield from add_many(
                docs,
                self.name,
                id_field=id_field,
                progress=progress,
                chunk=chunk,
                workers=workers,
                most_bytes=self.bulk_bytes,
            )
        )

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> Flow[BulkResult]:
        """Many writes of all kinds to this index; see `Database.bulk`."""
        return (yield from bulk(actions, self.name, refresh, self.bulk_bytes))

    def open_view(self, keep_alive_s: float | None = None) -> Flow[tuple[str, float]]:
        """The id of a view of this moment, and how long it may lie unused."""
        lasting_s = KEEP_ALIVE_S if keep_alive_s is None else keep_alive_s
        answer = yield open_view(self._path("_search", "point_in_time"), lasting_s)
        return answer.json()["pit_id"], lasting_s
