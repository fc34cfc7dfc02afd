"""Which shard a document belongs to. Nothing may ever change here: documents lie where it said."""

from __future__ import annotations

import hashlib


def routing_key(id: bytes, routing: str | None) -> bytes:
    """What says where a document belongs: the routing that its write names, or else its `_id`."""
    return id if routing is None else routing.encode()


def shard_of(key: bytes, shards: int) -> int:
    """The number of the shard for a routing value, or for an `_id` that has none.

    law: the same for the same key and number of shards, on every machine and in every release
    >>> shard_of(b"dune", 5), shard_of(b"dune", 1)
    (1, 0)
    """
    if shards == 1:
        return 0
    hashed = hashlib.blake2b(key, digest_size=8).digest()
    # The high half of a product, as even as a remainder and without its favour for small numbers.
    return int.from_bytes(hashed, "big") * shards >> 64
