"""Do the copies of a shard agree? Each keeps a checksum over everything that it has carried out; here they are
compared.

Copies are at different sequences at any moment. Each says what its checksum was at the last few that are a multiple
of `replication.MARK`, and what it is now; two are compared at the sequences of which both speak. The checksum of an
entry covers that of the one before, so whoever differed once differs from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from quidditch.cluster.state import NodeReport, ShardReport


def differing(copies: Mapping[str, ShardReport]) -> dict[str, int]:
    """The nodes whose copies do not agree with most others, and the sequence at which that shows.

    Of two that differ nobody can say which is wrong: both are told.
    """
    at: dict[int, dict[str, int]] = {}
    for node, said in copies.items():
        for sequence, checksum in said.marks:
            at.setdefault(sequence, {})[node] = checksum
    found: dict[str, int] = {}
    for sequence, checksums in sorted(at.items()):
        (most, count), *others = Counter(checksums.values()).most_common()
        tied = any(other == count for _, other in others)
        for node, checksum in checksums.items() if others else ():
            if tied or checksum != most:
                found.setdefault(node, sequence)
    return found


def said_of(shard: str, reports: Mapping[str, NodeReport]) -> dict[str, ShardReport]:
    """What each node says of its copy of a shard."""
    return {node: report.shards[shard] for node, report in reports.items() if shard in report.shards}
