"""Levels, roles, callers, and what a route needs of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from quidditch.errors import RequestError
from quidditch.patterns import matches
from quidditch.server.failures import RestError


class Level(IntEnum):
    """What may be done; a level holds those before it."""

    NOTHING = 0
    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


LEVELS = {level.word: level for level in Level if level}
"""The levels that can be granted, by their words."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a route needs: a level on some index, or on the cluster.

    The indices that its path and body name are checked one by one, where they are used (guarding.py).
    """

    level: Level
    cluster: bool = False

    @staticmethod
    def parse(words: str) -> Need:
        """
        >>> Need.parse("write"), Need.parse("cluster read"), Need.parse("nothing")
        (Need(write), Need(cluster read), Need(nothing))
        """
        scope, _, word = words.rpartition(" ")
        if scope not in ("", "cluster") or word not in (*LEVELS, "nothing"):
            raise ValueError(f"needs: [cluster] {', '.join(LEVELS)} or nothing expected, not {words!r}")
        return Need(LEVELS.get(word, Level.NOTHING), scope == "cluster")

    def __str__(self) -> str:
        return f"{'cluster ' if self.cluster else ''}{self.level.word}"

    def __repr__(self) -> str:
        return f"Need({self})"


@dataclass(frozen=True, slots=True)
class Role:
    """A level on the cluster, and on the indices whose names match patterns, in which `*` stands for anything."""

    cluster: Level = Level.NOTHING
    indices: tuple[tuple[str, Level], ...] = ()


BUILT_IN = {
    "admin": Role(Level.ADMIN, (("*", Level.ADMIN),)),
    "writer": Role(Level.READ, (("*", Level.WRITE),)),
    "reader": Role(Level.READ, (("*", Level.READ),)),
    "monitor": Role(Level.READ),
}
"""Roles that every server has."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. Patterns are of names of indices: an alias is as allowed as all that it stands for."""

    name: str
    cluster: Level = Level.NOTHING
    indices: tuple[tuple[str, Level], ...] = ()
    _known: dict[str, Level] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(name: str, roles: Iterable[Role]) -> Caller:
        roles = tuple(roles)
        highest = max((role.cluster for role in roles), default=Level.NOTHING)
        return Caller(name, highest, tuple(grant for role in roles for grant in role.indices))

    def level(self, index: str) -> Level:
        """The highest that any pattern grants on a name, whether an index has it or not."""
        found = self._known.get(index)
        if found is None:
            granted = (level for pattern, level in self.indices if matches(index, pattern))
            found = max(granted, default=Level.NOTHING)
            if len(self._known) < 10_000:
                self._known[index] = found
        return found

    def may(self, index: str, level: Level) -> bool:
        return self.level(index) >= level

    def check(self, need: Need) -> None:
        """raises: RestError   403 for a caller who has the level nowhere"""
        held = (
            self.cluster if need.cluster else max((level for _, level in self.indices), default=Level.NOTHING)
        )
        if held < need.level:
            raise self.denied(str(need))

    def denied(self, what: str, index: str | None = None) -> RestError:
        """403, in the same words whether the index is there or not."""
        place = "" if index is None else f" on index [{index}]"
        return RestError(
            f"no permissions for [{what}]{place} and User [name={self.name}]", 403, "security_exception"
        )


ANYONE = Caller("", Level.ADMIN, (("*", Level.ADMIN),))
"""The caller of a server without accounts, which is open."""


def check_pattern(pattern: str) -> str:
    """raises: RequestError   a pattern that no name of an index can match"""
    if not pattern or pattern != pattern.lower() or re.search(r'[\\/?"<>| ,#:\[\]]|^_', pattern):
        raise RequestError(
            f"pattern [{pattern}]: the name of an index expected, in which * stands for anything"
        )
    return pattern
