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
    failures: int = 0
    next_s: float = 0.0
    last_s: float = 0.0


class Throttle:
    """Delays of attempts, by who makes them (an address and a name).

    An attempt counts as failed from its beginning until it succeeds, so that a thousand at once are no better than
    one after another: each gets a place in time of its own, and they lie further and further apart.
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

    def succeeded(self, who: tuple[str, str]) -> None:
        self._records.pop(who, None)


def _gap(failures: int) -> float:
    """Seconds until the next attempt after so many: none, then doubling."""
    over = failures - FREE_ATTEMPTS
    return 0.0 if over < 0 else float(min(FIRST_DELAY_S * 2 ** min(over, 20), LONGEST_DELAY_S))
