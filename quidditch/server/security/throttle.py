"""Who fails to say who he is has to wait before the next attempt is looked at."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_ATTEMPTS = 5
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 10.0
FORGOTTEN_AFTER_S = 600.0
MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Record:
    """next_s: when the next attempt is looked at; last_s: when the last began"""

    failures: int = 0
    next_s: float = 0.0
    last_s: float = 0.0


class Throttle:
    """Delays of attempts, by who makes them (an address and a name).

    An attempt counts as failed from its beginning until it succeeds, so that a thousand at once are no better than
    one after another: each gets a place in time of its own, and they lie further and further apart. A success takes
    back its own count alone: somebody else at the address may be guessing meanwhile.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    def begin(self, who: tuple[str, str]) -> float:
        """Seconds to wait before the attempt is looked at. Past LONGEST_DELAY_S it must not be looked at."""
        now_s = self._clock()
        record = self._records.setdefault(who, _Record())
        self._records.move_to_end(who)
        if now_s - record.last_s > FORGOTTEN_AFTER_S:
            record.failures = 0
        record.last_s = now_s
        wait_s = max(0.0, record.next_s - now_s)
        if wait_s <= LONGEST_DELAY_S:
            record.failures += 1
            record.next_s = max(now_s, record.next_s) + _gap(record.failures)
        while len(self._records) > MOST_REMEMBERED:
            self._records.popitem(last=False)
        return wait_s

    def pending(self, who: tuple[str, str]) -> float:
        """Seconds that an attempt would have to wait, which is none."""
        record = self._records.get(who)
        return 0.0 if record is None else max(0.0, record.next_s - self._clock())

    def succeeded(self, who: tuple[str, str]) -> None:
        """An attempt that began was a right one."""
        record = self._records.get(who)
        if record is None or record.failures <= 1:
            self._records.pop(who, None)
            return
        record.next_s -= _gap(record.failures)
        record.failures -= 1


def _gap(failures: int) -> float:
    """Seconds until the next attempt after so many: none, then doubling."""
    over = failures - FREE_ATTEMPTS
    return 0.0 if over < 0 else float(min(FIRST_DELAY_S * 2 ** min(over, 20), LONGEST_DELAY_S))
