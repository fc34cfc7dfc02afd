"""The same database over many machines: shards with replicas, behind the API that a directory has.

Rooms, from the bottom up; PROTOCOL.md has every key, stream, message and call between processes:

    state.py        what is kept where all processes see it: routing table, reports of nodes; values without a network
    allocation.py   one routing table made of another: pure
    routing.py      which shard a document belongs to: pure
"""
