"""What a fresh process finds in the directory: the records that `observer` prints and `verdict` judges."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

ASYNC = "async"
"""The durability of an index whose acknowledgements are promises only once a flush came after them."""


class Request(msgspec.Struct, frozen=True):
    """What to look at: a directory, the lanes whose ids may be there, how to open it, and which searches to try."""

    folder: str
    lanes: list[int]
    readonly: bool
    seed: int


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """What the observer is about to do; its last words, should the interpreter crash."""

    name: str


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """An exception ended the observation."""

    stage: str
    words: str


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """One document by its id. `intact`: every field is what its content says."""

    id: str
    serial: int
    patch: int | None
    version: int
    seq_no: int
    intact: bool


class Ranking(msgspec.Struct, frozen=True):
    """One search here and in a fresh index of the same documents: total, then id and bits of the score by rank."""

    query: str
    own_total: int | None
    fresh_total: int | None
    own: list[tuple[str, int]]
    fresh: list[tuple[str, int]]


class Observation(msgspec.Struct, frozen=True, tag="observation"):
    """All that was found.

    exists:     whether the index is there; nothing else counts when it is not
    durability: the index's setting
    problems:   what the index's own check says; None when it has none
    documents:  by `mget`, over all ids that may be there and all that `scan` gave
    scanned:    by `scan`, in its order
    asked:      ids of which `in` was asked
    contained:  those of them that it says are there
    """

    exists: bool
    opened_s: float = 0.0
    durability: str = "request"
    problems: list[str] | None = None
    documents: list[Seen] = []
    scanned: list[tuple[str, int, int | None]] = []
    asked: list[str] = []
    contained: list[str] = []
    length: int = 0
    counted: int = 0
    in_stats: int = 0
    rankings: list[Ranking] = []


Line: TypeAlias = Stage | Stopped | Observation
