"""Searches that an index refused: those of all of them are an error, those of some a part of the answer.

OpenSearch reads a query before it goes to any shard, and tells what is wrong with it at the top of the error. What
only a shard can tell, since it depends on the mapping or a setting of its index, is told as that shard's failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from quidditch.errors import FieldError, LimitExceeded, QuidditchError
from quidditch.interface import IndexInfo, SearchResult
from quidditch.server.call import Call
from quidditch.server.failures import RestError, cause_of
from quidditch.server.resolving import Resolved
from quidditch.server.visibility import search
from quidditch.types import Json

FOUND_BY_SHARDS = (FieldError, LimitExceeded)


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """Why one index does not answer, as it stands in `root_cause` and with the shard."""

    index: str
    reason: dict[str, Json]

    @classmethod
    def of(cls, info: IndexInfo, error: QuidditchError) -> ShardFailure:
        reason = cause_of(error)
        if isinstance(error, FieldError):
            reason["type"] = error.shard_type
            if error.shard_type == FieldError.type:
                reason |= {"index": info.name, "index_uuid": info.uuid}
        return cls(info.name, reason)

    def body(self, node: str) -> dict[str, Json]:
        return {"shard": 0, "index": self.index, "node": node, "reason": self.reason}


def all_failed(failures: Sequence[ShardFailure], node: str, reason: str = "all shards failed") -> RestError:
    """The error of a search that no index answered."""
    detail: dict[str, Any] = {
        "phase": "query",
        "grouped": True,
        "failed_shards": [failure.body(node) for failure in failures],
    }
    first = failures[0].reason
    if first["type"] == "illegal_argument_exception":
        # OpenSearch wraps what is none of its own exceptions once more, which clients look through.
        inner = {"type": first["type"], "reason": first["reason"]}
        detail["caused_by"] = {**inner, "caused_by": inner}
    error = RestError(reason, 400, "search_phase_execution_exception", detail)
    error.root_causes = [failure.reason for failure in failures]
    return error


def search_indices(
    call: Call, found: Resolved, asked: dict[str, Any]
) -> tuple[SearchResult, list[ShardFailure]]:
    """What the indices answer together that can, and why the others do not.

    raises: RestError   none can, or all must: a filter of an alias, or `allow_partial_search_results=false`
    cost:   when one of several refuses, a search of each by itself to tell which
    """
    try:
        return search(call, found, asked), []
    except FOUND_BY_SHARDS as error:
        node = call.state.node_id
        failures = _refusals(call, found, asked, error)
        failed = {failure.index for failure in failures}
        able = [name for name in found.indices if name not in failed]
        if not able:
            raise all_failed(failures, node) from error
        if set(found.names) != set(found.indices) or not call.parameters.flag(
            "allow_partial_search_results", True
        ):
            raise all_failed(failures, node, "Partial shards failure") from error
    return search(call, replace(found, names=able, indices=able), asked), failures


def _refusals(
    call: Call, found: Resolved, asked: dict[str, Any], refusal: QuidditchError
) -> list[ShardFailure]:
    failures = []
    for name in found.indices if len(found.indices) > 1 else ():
        try:
            call.database.index(name).search_body({**asked, "track_total_hits": False})
        except FOUND_BY_SHARDS as error:
            failures.append(ShardFailure.of(found.infos[name], error))
    return failures or [ShardFailure.of(found.infos[name], refusal) for name in found.indices]


def with_failures(body: dict[str, Any], failures: Sequence[ShardFailure], node: str) -> dict[str, Any]:
    """The body of an answer that not all indices gave."""
    shards = body["_shards"]
    shards["total"] += len(failures)
    shards["failed"] += len(failures)
    shards["failures"] = [*shards.get("failures", ()), *(failure.body(node) for failure in failures)]
    return body


@contextmanager
def asking_shards(indices: Sequence[str], infos: Mapping[str, IndexInfo], node: str) -> Iterator[None]:
    """Around a search: what an index has found wrong with it is told as the failure of all.

    raises: RestError
    """
    try:
        yield
    except FOUND_BY_SHARDS as error:
        named = [infos[name] for name in indices if name in infos]
        if not named:
            raise
        raise all_failed([ShardFailure.of(info, error) for info in named], node) from error
