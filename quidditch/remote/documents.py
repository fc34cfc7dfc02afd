"""Single documents of an index: write, read, by query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Dict
from typing import Any, Literal

from quidditch.errors import DocumentError, DocumentNotFound, QuidditchError, RequestError
from quidditch.index.operations import IdMaker, VersionType, check_id, check_version, without_id
from quidditch.index.routings import check_routing, check_routings
from quidditch.interface import ByQueryResult, Document, QueryLike, WriteResult
from quidditch.remote.clauses import clause_of
from quidditch.remote.encoding import encode, encode_document
from quidditch.remote.exchange import Answer, Flow, Repeat, Request, step
from quidditch.remote.failures import error_of
from quidditch.remote.results import by_query_result, document, documents, write_result
from quidditch.types import Json

NO_NEW_INDEX = {"create_index": "false"}
"""A write goes to an index that is there: a handle on a deleted one does not bring it back."""

ids = IdMaker()


class DocumentFlows:
    """Flows of an index about documents."""

    name: str

    def _path(self, *steps: str) -> str:
        return "/".join(["", step(self.name), *steps])

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
    ) -> Flow[WriteResult]:
        """Add or replace one document; the server has it on disk when this returns.

        Without `id` the document's own `_id` counts, or one is made here. `op="create"` refuses to replace. A
        `version` is one that is counted elsewhere, and must be past the document's, or equal with "external_gte".
        `routing` is kept with the document.
        raises: DocumentError, VersionConflict, RequestError (the id), RoutingMissing, StorageError; Unreachable
                when no answer came: a write that may have been carried out is sent again only if it then holds once
                (an id made here, "create", `if_seq_no`)
        """
        if not isinstance(doc, Dict):
            raise DocumentError(f"an object expected as document, not {type(doc).__name__}")
        if op not in ("index", "create"):
            raise RequestError(f'add: op: "index" or "create" expected, not {op!r}')
        check_version(version, version_type)
        given = doc.get("_id") if id is None else id
        free = given is None and version is None and if_seq_no is None
        id_text = (ids.new() if given is None else check_id(given)).decode()
        creates = op == "create" or free
        request = Request(
            "PUT",
            self._path("_create" if creates else "_doc", step(id_text)),
            _condition(if_seq_no, if_primary_term, version, version_type, routing),
            encode_document(without_id(doc)),
            repeat=_repeat(creates, if_seq_no),
            accepts=(409,) if free else (),
            writes=True,
        )
        answer = yield request
        if answer.status == 409:
            # The id is new, so it was this document that the attempt without an answer has written.
            found = yield from self.get(id_text, routing=routing)
            return WriteResult(found.id, found.version, found.seq_no, "created", found.primary_term)
        return write_result(answer.json())

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
    ) -> Flow[WriteResult]:
        """Change part of a document: objects are merged, other values replaced.

        A change that changes nothing is a "noop". Of a document that is not there, `upsert` is added, or `doc`
        itself with `doc_as_upsert`, with `routing`; one that is there keeps its own.
        raises: DocumentNotFound, DocumentError, VersionConflict, RoutingMissing
        """
        if script is None and doc is None and upsert is None:
            raise RequestError("update: doc or upsert expected")
        parts = {"doc": doc, "upsert": upsert, "script": script}
        body = {name: value for name, value in parts.items() if value is not None}
        answer = yield Request(
            "POST",
            self._path("_update", step(check_id(id).decode())),
            _condition(if_seq_no, if_primary_term, routing=routing),
            encode_document({**body, "doc_as_upsert": doc_as_upsert, "detect_noop": detect_noop}),
            repeat=_repeat(False, if_seq_no),
            writes=True,
        )
        return write_result(answer.json())

    def delete(
        self,
        id: str,
        *,
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        version: int | None = None,
        version_type: VersionType = "external",
        routing: str | None = None,
    ) -> Flow[WriteResult]:
        """Delete one document; what is not there is "not_found", no error. `version` as in `add`.

        raises: VersionConflict, RequestError (the id), RoutingMissing
        """
        check_version(version, version_type)
        answer = yield Request(
            "DELETE",
            self._path("_doc", step(check_id(id).decode())),
            _condition(if_seq_no, if_primary_term, version, version_type, routing),
            repeat=_repeat(False, if_seq_no),
            accepts=(404,),
            writes=True,
        )
        return write_result(about_a_document(answer))

    def get(self, id: str, *, routing: str | None = None) -> Flow[Document]:
        """The document of this id.

        raises: DocumentNotFound, RequestError (the id), RoutingMissing
        """
        path = self._path("_doc", step(check_id(id).decode()))
        answer = yield Request("GET", path, _routed(routing), accepts=(404,))
        body = about_a_document(answer)
        if not body["found"]:
            raise DocumentNotFound(f"no document [{id}] in index [{self.name}]")
        return document(body)

    def mget(self, ids: Sequence[str], *, routings: Sequence[str | None] = ()) -> Flow[list[Document | None]]:
        """The documents of these ids, in order; None for one that is not there. One snapshot for all.

        routings:  one for each id, or none at all
        raises: RequestError (an id), RoutingMissing
        """
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise RequestError(f"mget: a list of ids expected, not {type(ids).__name__}")
        wanted = [check_id(id).decode() for id in ids]
        if not wanted:
            return []
        given = check_routings(routings, len(wanted))
        items = [{"_id": id, "routing": each} for id, each in zip(wanted, given, strict=True)]
        body = {"docs": items} if any(given) else {"ids": wanted}
        answer = yield Request("POST", self._path("_mget"), content=encode(body))
        return documents(answer.json())

    def exists(self, id: object) -> Flow[bool]:
        """Whether there is a document of this id."""
        try:
            path = self._path("_doc", step(check_id(id).decode()))
        except QuidditchError:
            return False
        answer = yield Request("GET", path, {"_source": "false"}, accepts=(404,))
        return bool(about_a_document(answer)["found"])

    def delete_by_query(
        self,
        query: QueryLike,
        *,
        conflicts: Literal["abort", "proceed"] = "abort",
        max_docs: int | None = None,
    ) -> Flow[ByQueryResult]:
        """Delete each document that matches now. One that another writer changes meanwhile is a conflict.

        conflicts:  "abort" raises VersionConflict at the first; "proceed" counts them and goes on
        max_docs:   the most to delete
        raises: QueryError, VersionConflict; a batch of 1,000 is all there after a crash, or nothing of it
        """
        return (yield from self._by_query("_delete_by_query", query, conflicts, max_docs))

    def update_by_query(
        self,
        query: QueryLike = None,
        *,
        conflicts: Literal["abort", "proceed"] = "abort",
        max_docs: int | None = None,
    ) -> Flow[ByQueryResult]:
        """Index each document that matches anew, by the mapping as it is now; otherwise as `delete_by_query`."""
        return (yield from self._by_query("_update_by_query", query, conflicts, max_docs))

    def _by_query(
        self, action: str, query: QueryLike, conflicts: str, max_docs: int | None
    ) -> Flow[ByQueryResult]:
        if max_docs is not None and (
            isinstance(max_docs, bool) or not isinstance(max_docs, int) or max_docs < 1
        ):
            raise RequestError(f"max_docs: a number from 1 on expected, not {max_docs!r}")
        limit = {} if max_docs is None else {"max_docs": str(max_docs)}
        answer = yield Request(
            "POST",
            self._path(action),
            {"conflicts": str(conflicts), **limit},
            encode({"query": clause_of(query)}),
            repeat="unsent",
            writes=True,
            lasting=True,
        )
        return by_query_result(answer.json())


def about_a_document(answer: Answer) -> dict[str, Any]:
    """The body of an answer that may be 404: about a document it is an answer, about an index an error."""
    body: dict[str, Any] = answer.json()
    if "error" in body:
        raise error_of(answer)
    return body


def _routed(routing: str | None) -> dict[str, str]:
    checked = check_routing(routing)
    return {} if checked is None else {"routing": checked}


def _repeat(creates: bool, if_seq_no: int | None) -> Repeat:
    """A write may be sent again when, carried out already, it would be refused."""
    return "always" if creates or if_seq_no is not None else "unsent"


def _condition(
    if_seq_no: int | None,
    if_primary_term: int | None,
    version: int | None = None,
    version_type: str = "external",
    routing: str | None = None,
) -> dict[str, str]:
    """The state that a write demands, and its routing, as parameters of its request."""
    said = {**NO_NEW_INDEX, **_routed(routing)}
    if if_seq_no is not None or if_primary_term is not None:
        said["if_seq_no"] = str(if_seq_no)
        said["if_primary_term"] = str(1 if if_primary_term is None else if_primary_term)
    if version is not None:
        said |= {"version": str(version), "version_type": version_type}
    return said
