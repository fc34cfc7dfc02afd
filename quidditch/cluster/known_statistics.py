"""What a coordinator remembers of its shards' statistics.

They are those of a shard's live documents after one entry of its log, the same in every copy. So they are true for
every view of that sequence, and of no use for another: a search sends the sequence along, and a copy whose view is of
another one answers with its own statistics in place of hits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from quidditch.cluster.state import ShardId
from quidditch.interface import CollectionStats, FieldStats

MOST_TERMS = 20_000
"""Of one shard; past that it begins anew."""

MOST_SHARDS = 4_096


@dataclass(slots=True)
class _Known:
    sequence: int
    fields: dict[str, FieldStats] = field(default_factory=dict)
    doc_freqs: dict[tuple[str, bytes], int] = field(default_factory=dict)


class KnownStatistics:
    """By shard those of the newest sequence that was heard of. For one thread."""

    def __init__(self) -> None:
        self._shards: dict[ShardId, _Known] = {}

    def note(self, shard: ShardId, sequence: int, stats: CollectionStats) -> None:
        known = self._shards.get(shard)
        if known is None or known.sequence < sequence or len(known.doc_freqs) > MOST_TERMS:
            if len(self._shards) >= MOST_SHARDS:
                self._shards.clear()
            known = self._shards[shard] = _Known(sequence)
        if known.sequence == sequence:
            known.fields |= stats.fields
            known.doc_freqs |= stats.doc_freqs

    def of(
        self, shard: ShardId, fields: Iterable[str], terms: Sequence[tuple[str, bytes]], sequence: int | None
    ) -> tuple[int, CollectionStats] | None:
        """The sequence and the statistics; None unless all of them are known, and of `sequence` if one is named."""
        known = self._shards.get(shard)
        if known is None or sequence not in (None, known.sequence):
            return None
        try:
            stats = CollectionStats(
                {name: known.fields[name] for name in fields}, {term: known.doc_freqs[term] for term in terms}
            )
        except KeyError:
            return None
        return known.sequence, stats
