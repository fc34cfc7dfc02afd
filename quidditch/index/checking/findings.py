"""What checking finds, and how a piece of checking goes on when it meets bytes that it cannot read."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from quidditch.errors import QuidditchError

LIMIT = 100
"""Findings of one kind that are spelt out; of the others there is only the number."""

Progress = Callable[[int, int], None]
"""Told how many units of the work are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written.

    what:   its kind, in a word or two: "checksum", "postings", "id map", ...
    where:  the place inside the environment: page, table, segment, field, document, key
    words:  the value seen and the value expected
    """

    what: str
    where: str
    words: str


Check = Callable[[], Iterable[Finding]]

_UNREADABLE = (ValueError, LookupError, ArithmeticError, MemoryError, OSError, RecursionError, struct.error)
"""What reading bytes that nobody wrote may end in."""


def in_order(*steps: Check) -> Iterator[Finding]:
    """The findings of the first step that has any: what comes after it takes for granted that it is clean."""
    for step in steps:
        clean = True
        for finding in step():
            clean = False
            yield finding
        if not clean:
            return


def guarded(what: str, where: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings of one piece of work; bytes that it cannot read are one more, and end it."""
    try:
        yield from findings
    except (*_UNREADABLE, QuidditchError) as error:
        yield Finding(what, where, f"cannot be read: {error}")


def capped(findings: Iterable[Finding], limit: int = LIMIT) -> Iterator[Finding]:
    """The first `limit` findings of each kind; then, for each kind that has more, how many more there are."""
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.what] += 1
        if seen[finding.what] <= limit:
            yield finding
    for what, count in seen.items():
        if count > limit:
            yield Finding(what, "", f"{count - limit:,} more of this kind are not listed")


class Meter:
    """Counts units of work and tells whoever looks on."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def add(self, units: int) -> None:
        self._done = min(self._done + units, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        """What was left out, because something before it was not clean, needs no more work."""
        self.add(self._total)
