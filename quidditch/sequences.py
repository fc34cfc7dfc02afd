"""How a client reads its own writes from a cluster, whichever coordinator it asks: what each of its writes reached.

A write's answer says in the header `quidditch-sequences` how far the logs of the shards have come that it changed.
Whoever sends that header with a read has all of it seen by that read. A directory's server has no need of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol, runtime_checkable

from quidditch.errors import RequestError

HEADER = "quidditch-sequences"

MOST_INDICES = 64
"""What is kept of the indices written last: others are seen everywhere by then."""

MOST_CHARACTERS = 16_384

_INDEX = re.compile(r"([0-9a-f]{32})=((?:[0-9]{1,18}|)(?::(?:[0-9]{1,18}|))*)")


class Reached(NamedTuple):
    """A shard, by its index's uuid and its number, and the sequence of its log."""

    uuid: str
    shard: int
    sequence: int


class Sequences:
    """The newest sequence of each shard that was heard of. Not safe to share between threads."""

    def __init__(self) -> None:
        self._indices: dict[str, dict[int, int]] = {}

    def note(self, reached: Reached) -> None:
        shards = self._indices.pop(reached.uuid, {})
        shards[reached.shard] = max(reached.sequence, shards.get(reached.shard, 0))
        self._indices[reached.uuid] = shards
        while len(self._indices) > MOST_INDICES:
            del self._indices[next(iter(self._indices))]

    def __iter__(self) -> Iterator[Reached]:
        for index, shards in self._indices.items():
            for shard, sequence in shards.items():
                yield Reached(index, shard, sequence)

    def __bool__(self) -> bool:
        return bool(self._indices)

    def __str__(self) -> str:
        """As the header has it: by index the sequences of its shards in order, nothing for one that is not known."""
        return ";".join(
            f"{index}={':'.join(str(shards.get(shard, '')) for shard in range(1 + max(shards)))}"
            for index, shards in self._indices.items()
        )

    @classmethod
    def parse(cls, text: str) -> Sequences:
        """raises: RequestError   it is no such header's

        >>> str(Sequences.parse("0123456789abcdef0123456789abcdef=7::12"))
        '0123456789abcdef0123456789abcdef=7::12'
        """
        found = cls()
        for part in text.split(";") if len(text) <= MOST_CHARACTERS else [text]:
            matched = _INDEX.fullmatch(part.strip())
            if matched is None:
                raise RequestError(
                    f"{HEADER}: what an answer to a write says in this header expected, not {text[:80]!r}"
                )
            for shard, sequence in enumerate(matched[2].split(":")):
                if sequence:
                    found.note(Reached(matched[1], shard, int(sequence)))
        return found


@runtime_checkable
class Heeds(Protocol):
    """A database that a read can be told what to see of."""

    def heed(self, sequences: Sequences) -> None:
        """Have the reads from now on see all of it. raises: RequestError   it was never written"""


_written: ContextVar[Sequences | None] = ContextVar("quidditch_written", default=None)


@contextmanager
def noting_writes() -> Iterator[Sequences]:
    """What is written meanwhile on behalf of this thread or task."""
    found = Sequences()
    token = _written.set(found)
    try:
        yield found
    finally:
        _written.reset(token)


def note_write(reached: Reached) -> None:
    """Tell whoever notes."""
    noted = _written.get()
    if noted is not None:
        noted.note(reached)
