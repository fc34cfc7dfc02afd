"""Every exception Quidditch raises on purpose, in one tree.

The branches say who can act:

    QuidditchError
      RequestError        4xx  the caller
        QueryError             a query that is malformed
          FieldError           a query that asks what a field cannot do
        MappingError           a mapping that is malformed, or would change an existing field
        DocumentError          a document whose value does not fit its field
        IndexNotFound          also a KeyError
        IndexExists
        IndexClosed
        IndexBlocked
        DocumentNotFound       also a KeyError
        VersionConflict
        LimitExceeded
        SnapshotExpired
        AuthenticationFailed   also a PermissionError
        AccessDenied           also a PermissionError
        MissingLibrary         also an ImportError
        Unsupported
        Overloaded
      StorageError        5xx  the operator
        StoreFull
        StoreLocked            also a TimeoutError
        CorruptIndex
        FormatTooOld
        FormatTooNew
        Unreachable            also a ConnectionError
        Unavailable            also a ConnectionError
          ShardsFailed
      InternalError       500  us: a broken invariant

`status` and `type` are what the REST API answers, so rendering an error needs no table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class QuidditchError(Exception):
    """Anything Quidditch raises on purpose; its text names the thing, the value seen and what was expected."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "quidditch_exception"

    def __str__(self) -> str:
        # KeyError, which some of these also are, would show the message in quotes.
        return str(self.args[0]) if self.args else self.__class__.__name__


class RequestError(QuidditchError):
    """The request cannot be carried out as it stands; nothing was changed."""

    status = 400
    type = "illegal_argument_exception"


class QueryError(RequestError):
    """A query is malformed, names an unknown clause or parameter, or asks what its field cannot do."""

    type = "parsing_exception"


class FieldError(QueryError):
    """A query that is well-formed asks what the mapping does not have: a value or a clause that does not fit its
    field, an unknown analyzer, a sort by a field without values. Another index might answer it.

    shard_type:  what OpenSearch calls it where a shard finds it
    """

    type = "query_shard_exception"

    def __init__(self, words: str, shard_type: str = type) -> None:
        super().__init__(words, shard_type)
        self.shard_type = shard_type


class MappingError(RequestError):
    """A mapping is malformed, or would change a field that is already there."""

    type = "mapper_parsing_exception"


class DocumentError(RequestError):
    """A document cannot be indexed: a value does not fit its field, or the document is no object."""

    type = "mapper_parsing_exception"


class IndexNotFound(RequestError, KeyError):
    """No index has this name."""

    status = 404
    type = "index_not_found_exception"


class IndexExists(RequestError):
    """An index of this name is already there."""

    type = "resource_already_exists_exception"


class IndexClosed(RequestError):
    """The index was closed, and takes no reads and writes until it is opened."""

    type = "index_closed_exception"


class IndexBlocked(RequestError):
    """A setting of the index, `blocks.write` or `blocks.read_only`, refuses writes."""

    status = 403
    type = "cluster_block_exception"


class DocumentNotFound(RequestError, KeyError):
    """The index holds no document with this id."""

    status = 404
    type = "document_missing_exception"


class RoutingMissing(RequestError):
    """The mapping demands a routing (`_routing.required`), and the request names none."""

    type = "routing_missing_exception"

    @classmethod
    def of(cls, index: str, id: str) -> RoutingMissing:
        return cls(f"routing is required for [{index}]/[{id}]")


class VersionConflict(RequestError):
    """The document is not in the state that the write demanded."""

    status = 409
    type = "version_conflict_engine_exception"


class LimitExceeded(RequestError):
    """The request is well-formed and larger than a limit that protects the process."""

    type = "too_many_clauses"


class SnapshotExpired(RequestError):
    """A scan or a point in time lay unused for longer than it was to be kept alive."""

    status = 404
    type = "search_context_missing_exception"


class AuthenticationFailed(RequestError, PermissionError):
    """The server does not know who is asking: no key or password was sent, or a wrong, revoked or expired one."""

    status = 401
    type = "security_exception"


class AccessDenied(RequestError, PermissionError):
    """The server knows who is asking, and he may not do this."""

    status = 403
    type = "security_exception"


class MissingLibrary(RequestError, ImportError):
    """What was asked for needs a library that is not installed; the message names the command that installs it."""


class Unsupported(RequestError):
    """What was asked for works on a directory in this process, and not where this database lives."""

    type = "unsupported_operation_exception"


class Overloaded(RequestError):
    """There is no room for more just now: a server has too much to do, or a cluster's log is full until its shards
    have caught up. Nothing was done; the same request may be sent again."""

    status = 429
    type = "rejected_execution_exception"


class StorageError(QuidditchError):
    """The directory cannot be used as it is; the operator can act.

    partial:  what `add_many` and `bulk` had done when this stopped them halfway, a BulkResult; otherwise None
    """

    type = "storage_exception"
    partial: Any = None


class StoreFull(StorageError):
    """The disk, or the index's map size, has no room; nothing of the failed write is left behind."""

    status = 507
    type = "store_full_exception"


class StoreLocked(StorageError, TimeoutError):
    """Another writer held the index for longer than the caller was willing to wait."""

    status = 503
    type = "store_locked_exception"


class CorruptIndex(StorageError):
    """The bytes on disk are not what was written."""

    type = "corrupt_index_exception"


class FormatTooOld(StorageError):
    """The directory was written by a release whose format is no longer read."""

    type = "index_format_too_old_exception"


class FormatTooNew(StorageError):
    """The directory was written by a newer release."""

    type = "index_format_too_new_exception"


class Unreachable(StorageError, ConnectionError):
    """The server could not be reached, or gave no answer; the message says if a write may have been carried out."""

    status = 503
    type = "server_unreachable_exception"


class Unavailable(StorageError, ConnectionError):
    """A part of the cluster that is needed did not answer in time; the message says if a write may have happened."""

    status = 503
    type = "unavailable_shards_exception"


@dataclass(frozen=True, slots=True)
class FailedShard:
    """A shard that a search got no answer from: its index and number, the node that was asked last, and why."""

    index: str
    shard: int
    node: str | None
    type: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "index": self.index,
            "node": self.node,
            "reason": {"type": self.type, "reason": self.reason},
        }


class ShardsFailed(Unavailable):
    """A search got no answer from any shard, or not from all where that was demanded; `failures` says why of each."""

    type = "search_phase_execution_exception"

    def __init__(self, message: str, failures: Sequence[FailedShard] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)

    @classmethod
    def of(cls, failures: Sequence[FailedShard], total: int) -> ShardsFailed:
        what = "all shards failed" if len(failures) == total else "Partial shards failure"
        first = failures[0]
        return cls(f"{what}: [{first.index}][{first.shard}]: {first.reason}", failures)


class InternalError(QuidditchError):
    """An invariant of Quidditch's own is broken; please report it."""
