"""How long a key has been silent: measured by what else is heard. Without a network, and without a clock."""

from __future__ import annotations

HUSH_S = 2.5
"""Where nothing at all is heard for so long, nobody is to blame: who carries what is said is gone, or this process
slept."""


class Silence:
    """When each key was last heard.

    While nothing is heard, no key's silence grows, and afterwards all begin anew: a log without a leader is no reason
    to give up a node.
    """

    def __init__(self) -> None:
        self._seen_s: dict[str, float] = {}
        self._heard_s = float("-inf")
        self._since_s = float("-inf")

    def heard(self, key: str, now_s: float) -> None:
        if now_s - self._heard_s > HUSH_S:
            self._since_s = now_s
        self._heard_s = now_s
        self._seen_s[key] = now_s

    def forget(self, key: str) -> None:
        self._seen_s.pop(key, None)

    def of(self, key: str, now_s: float) -> float:
        """Seconds; infinite for a key that was never heard."""
        seen_s = self._seen_s.get(key)
        if seen_s is None:
            return float("inf")
        until_s = now_s if now_s - self._heard_s <= HUSH_S else self._heard_s
        return max(0.0, until_s - max(seen_s, self._since_s))
