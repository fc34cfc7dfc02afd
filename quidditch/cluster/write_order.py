"""`_doc`, the order of the writes, over several shards: one number that no two documents of an index have.

Sequence numbers count in each shard by itself. Told apart by the shard alone they would tie, and whoever goes on
after the last hit of a page, as a scan and a scroll do, would lose what ties with it. So a hit's number is its
sequence number times the shards, plus its shard's; a shard itself is asked by its own sequence numbers.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from quidditch.interface import QueryRequest, QueryResult, ShardHit, SortKey
from quidditch.types import Json


def asked_of(request: QueryRequest, shard: int, shards: int) -> QueryRequest:
    """The request as this shard is asked it: after which of its own sequence numbers it is to go on."""
    if request.search_after is None or not _places(request.sort, shards):
        return request
    after = list(request.search_after)
    for place in _places(request.sort, shards):
        after[place] = _own(after[place], shard, shards, request.sort[place].descending)
    return replace(request, search_after=tuple(after))


def _own(value: Json, shard: int, shards: int, descending: bool) -> Json:
    """The sequence number of a shard behind which all come after a number of the index.

    >>> [_own(7, shard, 3, False) for shard in range(3)], [_own(7, shard, 3, True) for shard in range(3)]
    ([2, 2, 1], [3, 2, 2])
    """
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return -((shard - value) // shards) if descending else (value - shard) // shards


def answered_by(result: QueryResult, sort: tuple[SortKey, ...], shard: int, shards: int) -> QueryResult:
    """What the shard found, its hits by the numbers of the index."""
    places = _places(sort, shards)
    if not places:
        return result

    def numbered(hit: ShardHit) -> ShardHit:
        values = list(hit.sort)
        for place in places:
            values[place] = _sequence(values[place]) * shards + shard
        return msgspec.structs.replace(hit, sort=tuple(values))

    return replace(result, hits=[numbered(hit) for hit in result.hits])


def _sequence(value: Json) -> int:
    """A sort value of `_doc`, which is an integer always."""
    assert isinstance(value, int)
    return value


def _places(sort: tuple[SortKey, ...], shards: int) -> list[int]:
    """Where in a sort the order of the writes is asked for; nowhere where there is one shard."""
    return [place for place, key in enumerate(sort) if key.field == "_doc"] if shards > 1 else []
