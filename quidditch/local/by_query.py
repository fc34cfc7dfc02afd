"""Writes to every document that matches a query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, Protocol, TypeAlias

from quidditch.errors import RequestError, VersionConflict
from quidditch.interface import BulkItem, BulkResult, ByQueryResult, Document, Hit, QueryLike, View
from quidditch.types import Json

Conflicts: TypeAlias = Literal["abort", "proceed"]

BATCH = 1_000
"""Documents that are read, compared and written at a time."""


class Documents(Protocol):
    """What is asked here of an index."""

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Iterator[Hit]: ...

    def mget(self, ids: Sequence[str], *, routings: Sequence[str | None] = ()) -> list[Document | None]: ...

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult: ...


def by_query(
    index: Documents,
    op: Literal["delete", "index"],
    query: QueryLike,
    conflicts: Conflicts,
    max_docs: int | None,
    goes_on: Callable[[], bool] = lambda: True,
    view: View | None = None,
) -> ByQueryResult:
    """Delete, or index anew, each document that matched when this began, or in a view of the index.

    A document that another writer has changed since is a conflict: it may match no more.
    goes_on:  asked before each batch; when it says no, the result tells of those before
    raises: VersionConflict   of the first conflict, unless these are to be passed by; what came before it is done
    """
    if conflicts not in ("abort", "proceed"):
        raise RequestError(f'conflicts: "abort" or "proceed" expected, not {conflicts!r}')
    if max_docs is not None and (isinstance(max_docs, bool) or not isinstance(max_docs, int) or max_docs < 1):
        raise RequestError(f"max_docs: a number from 1 on expected, not {max_docs!r}")
    started = time.monotonic()
    total = done = conflicting = batches = 0
    failures: list[BulkItem] = []
    hits = islice((index if view is None else view).scan(query), max_docs)
    for batch in batches_of(hits, goes_on):
        actions = _actions(index, op, batch)
        items = index.bulk(actions).items
        failed = [item for item in items if item.error is not None]
        lost = [item for item in failed if item.status == VersionConflict.status]
        gone = len(batch) - len(items)
        total, batches = total + len(batch), batches + 1
        done += len(items) - len(failed)
        conflicting += len(lost) + gone
        failures += [item for item in failed if item not in lost]
        if conflicts == "abort" and (lost or gone):
            raise VersionConflict(
                f"{len(lost) + gone} of the documents that matched have been changed meanwhile; {done} were written"
            )
    took_ms = round((time.monotonic() - started) * 1000)
    counts = {"deleted": done, "updated": 0} if op == "delete" else {"deleted": 0, "updated": done}
    return ByQueryResult(
        total, **counts, version_conflicts=conflicting, batches=batches, failures=failures, took_ms=took_ms
    )


def batches_of(hits: Iterator[Hit], goes_on: Callable[[], bool]) -> Iterator[list[Hit]]:
    """The hits in lists, as long as it goes on."""
    while goes_on() and (batch := list(islice(hits, BATCH))):
        yield batch


def _actions(index: Documents, op: Literal["delete", "index"], batch: list[Hit]) -> list[Any]:
    """A write for each document that is still as it was when it matched, which holds only in that state."""
    actions: list[Any] = []
    documents = index.mget([hit.id for hit in batch], routings=[hit.routing for hit in batch])
    for hit, document in zip(batch, documents, strict=True):
        if document is None or document.source != hit.source:
            continue
        state = {"if_seq_no": document.seq_no, "if_primary_term": document.primary_term}
        actions.append({op: {"_id": hit.id, "routing": document.routing, **state}})
        if op == "index":
            actions.append(document.source)
    return actions
