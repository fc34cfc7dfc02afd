"""Which copies a search asks first, or alone: OpenSearch's parameter `preference`, read and applied."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from quidditch.errors import RequestError
from quidditch.patterns import matches

WITHOUT_EFFECT = ("_local", "_only_local", "_primary", "_primary_first", "_replica", "_replica_first")
"""A coordinator holds no copy, and no copy is more than another."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Nodes by name or pattern.

    only:    the nodes that may be asked; empty for all
    first:   those that are asked before others
    shards:  the shards that are searched; None for all
    key:     of searches with the same key each asks the same copies, as long as these answer
    """

    only: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    shards: frozenset[int] | None = None
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Preference:
        """raises: RequestError   it begins with an underscore and is none of those there are

        >>> Preference.parse("_shards:0,2|_prefer_nodes:data-1").first
        ('data-1',)
        """
        if text.startswith("_shards:"):
            listed, _, rest = text.removeprefix("_shards:").partition("|")
            inner = cls.parse(rest)
            return cls(inner.only, inner.first, _numbers(listed), inner.key)
        for name, field in (("_only_nodes:", "only"), ("_prefer_nodes:", "first")):
            if text.startswith(name):
                nodes = tuple(part for part in text.removeprefix(name).split(",") if part)
                return cls(only=nodes) if field == "only" else cls(first=nodes)
        if text in WITHOUT_EFFECT or not text:
            return cls()
        if text.startswith("_"):
            raise RequestError(
                f"no Preference for [{text}]: _shards:, _only_nodes:, _prefer_nodes:, _local, or any text that does "
                "not begin with _ expected"
            )
        return cls(key=text)

    def ordered(self, shard: str, nodes: Sequence[str], turn: int) -> list[str]:
        """The nodes that may be asked, the one to ask first. `turn`: rises from search to search."""
        if self.only:
            nodes = [node for node in nodes if _any(node, self.only)]
        if not nodes:
            return []
        if self.key:
            found = sorted(nodes, key=lambda node: _rank(self.key, shard, node))
        else:
            start = turn % len(nodes)
            found = [*nodes[start:], *nodes[:start]]
        return sorted(found, key=lambda node: not _any(node, self.first)) if self.first else found


def _numbers(listed: str) -> frozenset[int]:
    parts = [part.strip() for part in listed.split(",")]
    if not all(part.isdecimal() and len(part) <= 6 for part in parts):
        raise RequestError(
            f"preference: numbers of shards with commas expected after _shards:, not [{listed}]"
        )
    return frozenset(map(int, parts))


def _any(node: str, patterns: Sequence[str]) -> bool:
    return any(matches(node, pattern) for pattern in patterns)


def _rank(*words: str) -> bytes:
    return hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest()
