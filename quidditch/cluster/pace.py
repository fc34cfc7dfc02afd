"""When a second copy is asked because the first is slow, and how often at most."""

from __future__ import annotations

from collections import deque

FLOOR_S = 0.03
"""Nobody is slow before this."""

UNKNOWN_S = 0.25
"""The bound as long as too little is known."""

RECENT = 256
"""Calls of a kind that are looked back on."""

EVERY = 32
"""After so many calls the bound is made anew."""


class Pace:
    """How long calls of each kind take, and from when on one is slow: half as long again as 19 of 20 recent ones."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self._bounds: dict[str, float] = {}
        self._count = 0

    def note(self, call: str, seconds: float) -> None:
        """One call has been answered."""
        recent = self._recent.setdefault(call, deque(maxlen=RECENT))
        recent.append(seconds)
        self._count += 1
        if self._count % EVERY == 0 or call not in self._bounds:
            self._bounds[call] = self._bound(sorted(recent))

    def bound_s(self, call: str) -> float:
        return self._bounds.get(call, UNKNOWN_S)

    def _bound(self, recent: list[float]) -> float:
        if len(recent) < EVERY:
            return UNKNOWN_S
        return max(FLOOR_S, 1.5 * recent[len(recent) * 19 // 20])


class Budget:
    """What may be asked twice: one call in twenty, and some more at once after a quiet time."""

    def __init__(self, share: float = 0.05, most: float = 10.0) -> None:
        self._share = share
        self._most = most
        self._left = most

    def earn(self) -> None:
        """One call was made."""
        self._left = min(self._most, self._left + self._share)

    def spend(self) -> bool:
        """Whether there is one more to ask twice."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
