"""What an index does with its documents wherever they are: arguments checked, and operations made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import replace
from typing import Any, Generic, Literal, NoReturn, TypeVar

from quidditch.analysis.registry import analyzed
from quidditch.errors import (
    DocumentError,
    DocumentNotFound,
    QueryError,
    QuidditchError,
    RequestError,
    RoutingMissing,
)
from quidditch.index.operations import Applied, Operation, VersionType, check_id, check_version, without_id
from quidditch.index.routings import check_routing, check_routings
from quidditch.interface import BulkResult, ByQueryResult, Document, QueryLike, WriteResult
from quidditch.local.bulk import OperationWriter, carry_out
from quidditch.local.by_query import Conflicts, by_query
from quidditch.local.searches import Searches
from quidditch.local.writing import update_operation
from quidditch.schema.fields import TextField, spell
from quidditch.schema.mapping import nearest
from quidditch.types import Json

Writer = TypeVar("Writer", bound=OperationWriter)


class BaseIndex(Searches, Generic[Writer]):
    """An index over the writers, shards and mapping that a subclass supplies."""

    def _writers(self) -> Callable[[str], Writer]:
        """What gives the writer of the index of a name. raises: StorageError   nothing may be written"""
        raise NotImplementedError

    def _writer(self) -> Writer:
        """raises: IndexNotFound, StorageError"""
        return self._writers()(self.name)

    def _read(self, ids: Sequence[bytes], routings: Sequence[str | None]) -> list[Document | None]:
        """The documents of these ids, each with its routing, in order."""
        raise NotImplementedError

    def _holds(self, id_bytes: bytes) -> bool:
        """Whether there is a document of this id."""
        raise NotImplementedError

    def _force_merge(self, max_segments: int) -> None:
        raise NotImplementedError

    @property
    def mappings(self) -> dict[str, Json]:
        """The mapping in OpenSearch's shape."""
        return self._mapping().to_dict()

    # ------------------------------------------------------------------------------------------------ writes

    def add(
        self,
        doc: Dict[str, Any],
        id: str | None = None,
        *,
        op: Literal["index", "create"] = "index",
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        version: int | None = None,
        version_type: VersionType = "external",
        routing: str | None = None,
    ) -> WriteResult:
        """Add or replace one document; it is on disk when this returns, or within `sync_interval` with "async".

        Without `id` the document's own `_id` counts, or one is made. `op="create"` refuses to replace. A `version` is
        one that is counted elsewhere, and must be past the document's, or equal with "external_gte".
        `routing` is kept with the document.
        raises: DocumentError, VersionConflict, RequestError (the id), RoutingMissing, StorageError
        """
        if not isinstance(doc, Dict):
            raise DocumentError(f"an object expected as document, not {spell(doc)}")
        if op not in ("index", "create"):
            raise RequestError(f'add: op: "index" or "create" expected, not {op!r}')
        check_version(version, version_type)
        writer = self._writer()
        given = doc.get("_id") if id is None else id
        id_bytes = writer.make_id() if given is None else check_id(given)
        operation = Operation(
            op, id_bytes, without_id(doc), if_seq_no, if_primary_term, routing=check_routing(routing)
        )
        if version is not None:
            operation = replace(operation, version=version, version_type=version_type)
        return _only(writer.apply([operation]))

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult:
        """Many writes of all kinds to this index; see `Database.bulk`."""
        self._writer()
        return carry_out(self._writers(), actions, self.name)

    def update(
        self,
        id: str,
        doc: Dict[str, Any] | None = None,
        *,
        upsert: Dict[str, Any] | None = None,
        doc_as_upsert: bool = False,
        detect_noop: bool = True,
        script: Json = None,
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        routing: str | None = None,
    ) -> WriteResult:
        """Change part of a document: objects are merged, other values replaced.

        A change that changes nothing is a "noop". Of a document that is not there, `upsert` is added, or `doc`
        itself with `doc_as_upsert`, with `routing`; one that is there keeps its own.
        raises: DocumentNotFound, DocumentError, VersionConflict, RoutingMissing
        """
        if script is not None:
            raise RequestError("update: scripts are not in this release")
        if doc is None and upsert is None:
            raise RequestError("update: doc or upsert expected")
        body = {"doc": doc, "upsert": upsert, "doc_as_upsert": doc_as_upsert, "detect_noop": detect_noop}
        operation = update_operation(check_id(id), body, if_seq_no, if_primary_term, check_routing(routing))
        return _only(self._writer().apply([operation]))

    def delete(
        self,
        id: str,
        *,
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        version: int | None = None,
        version_type: VersionType = "external",
        routing: str | None = None,
    ) -> WriteResult:
        """Delete one document; what is not there is "not_found", no error. `version` as in `add`.

        raises: VersionConflict, RequestError (the id), RoutingMissing
        """
        check_version(version, version_type)
        operation = Operation(
            "delete",
            check_id(id),
            None,
            if_seq_no,
            if_primary_term,
            version=version,
            version_type=version_type,
            routing=check_routing(routing),
        )
        return _only(self._writer().apply([operation]))

    def delete_by_query(
        self, query: QueryLike, *, conflicts: Conflicts = "abort", max_docs: int | None = None
    ) -> ByQueryResult:
        """Delete each document that matches now. One that another writer changes meanwhile is a conflict.

        conflicts:  "abort" raises VersionConflict at the first; "proceed" counts them and goes on
        max_docs:   the most to delete
        raises: QueryError, VersionConflict; a batch of 1,000 is all there after a crash, or nothing of it
        """
        self._writer()
        return by_query(self, "delete", query, conflicts, max_docs)

    def update_by_query(
        self, query: QueryLike = None, *, conflicts: Conflicts = "abort", max_docs: int | None = None
    ) -> ByQueryResult:
        """Index each document that matches anew, by the mapping as it is now; otherwise as `delete_by_query`."""
        self._writer()
        return by_query(self, "index", query, conflicts, max_docs)

    def _check_stream(self, chunk: int | None, id_field: str | None) -> None:
        """raises: RequestError   naming the argument of `add_many`"""
        if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
            raise RequestError(f"add_many: chunk: a number of documents from 1 on expected, not {chunk!r}")
        if id_field is not None and not isinstance(id_field, str):
            raise RequestError(f"add_many: a field name expected as id_field, not {spell(id_field)}")

    def _check_unrouted(self) -> None:
        """raises: RoutingMissing   the mapping demands a routing, which no stream has"""
        if self._mapping().routing_required:
            raise RoutingMissing(f"add_many: routing is required for [{self.name}]; bulk takes one")

    def force_merge(self, max_segments: int = 1) -> None:
        """Join the segments into at most `max_segments`, without the deleted documents. Rewrites the index."""
        if isinstance(max_segments, bool) or not isinstance(max_segments, int) or max_segments < 1:
            raise RequestError(f"force_merge: max_segments: 1 or more expected, not {max_segments!r}")
        self._force_merge(max_segments)

    # ------------------------------------------------------------------------------------------ by document

    def get(self, id: str, *, routing: str | None = None) -> Document:
        """The document of this id. A directory finds it whatever its routing.

        raises: DocumentNotFound, RequestError (the id), RoutingMissing
        """
        (found,) = self.mget([id], routings=[routing])
        if found is None:
            raise DocumentNotFound(f"no document [{id}] in index [{self.name}]")
        return found

    def mget(self, ids: Sequence[str], *, routings: Sequence[str | None] = ()) -> list[Document | None]:
        """The documents of these ids, in order; None for one that is not there. In a directory, one snapshot for all.

        routings:  one for each id, or none at all; a directory finds a document whatever its routing, and a
                   cluster one that was written with a routing by it alone
        raises: RequestError (an id), RoutingMissing
        """
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise RequestError(f"mget: a list of ids expected, not {spell(ids)}")
        wanted = [check_id(id) for id in ids]
        given = check_routings(routings, len(wanted))
        if None in given and self._mapping().routing_required:
            raise RoutingMissing.of(self.name, wanted[given.index(None)].decode())
        return self._read(wanted, given)

    def __getitem__(self, id: str) -> Document:
        return self.get(id)

    def __iter__(self) -> NoReturn:
        """Refused, because Python would ask for the ids 0, 1, 2, ... instead."""
        raise TypeError("an index is not iterable: scan() streams its documents")

    def __contains__(self, id: object) -> bool:
        try:
            id_bytes = check_id(id)
        except QuidditchError:
            return False
        return self._holds(id_bytes)

    # ----------------------------------------------------------------------------------------------- analysis

    def analyze(
        self, text: str, *, field: str | None = None, analyzer: str | None = None
    ) -> list[dict[str, Json]]:
        """The terms that a text becomes, as OpenSearch's `_analyze` shows them.

        By a named analyzer, or else a field's; "standard" without either.
        raises: QueryError   an unknown or not analysed field; MappingError an unknown analyzer
        """
        if not isinstance(text, str):
            raise RequestError(f"analyze: a string expected as text, not {spell(text)}")
        for name, value in (("field", field), ("analyzer", analyzer)):
            if value is not None and not isinstance(value, str):
                raise RequestError(f"analyze: a name expected as {name}, not {spell(value)}")
        if field is not None and analyzer is None:
            analyzer = self._analyzer_of(field)
        return analyzed(text, analyzer=analyzer)

    def _analyzer_of(self, path: str) -> str:
        mapping = self._mapping()
        field = mapping.field(path)
        if field is None:
            raise QueryError(f"analyze: no field [{path}]{nearest(path, mapping.fields)}")
        return field.analyzer if isinstance(field, TextField) else "keyword"


def _only(results: Sequence[Applied | QuidditchError]) -> WriteResult:
    """What the one operation did, raising what went wrong."""
    (result,) = results
    if isinstance(result, QuidditchError):
        raise result
    return WriteResult(result.id.decode(), result.version, result.seq_no, result.result)
