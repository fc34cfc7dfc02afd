"""What the writers write: documents that follow from a number, so that nobody need remember them.

A document is known by its *content*: the serial number of the write that made it and, if it was changed since,
the serial of its last change. Whoever finds a document can tell from these two what every other field must hold.
"""

from __future__ import annotations

import random
from typing import Any, TypeAlias

Content: TypeAlias = tuple[int, int | None]
"""(serial of the write that made a document, serial of its last change)"""

INDEX = "torture"

SHARED = 0
"""The lane whose ids every writer writes to, on conditions; the other lanes have one writer each."""

WIDE_LANES = 2
WIDE_SLOTS = 1_050
NARROW_SLOTS = 150
SHARED_SLOTS = 24
"""Ids of a lane. The first lanes have so many that a chunk of new ones can be a segment of its own; more in all
would only make comparing slow."""

TWINS = (0, 1)
"""Slots of a lane that are only ever written together, in one bulk; a search must never tell them apart."""

SERIALS_OF_A_LANE = 10_000_000
LANES = 64

_EXTRA_FIELDS = 12
_LONG_ID_BYTES = 500
_WORDS = tuple(a + b for a in ("ba", "du", "ki", "lo", "me", "ra", "si", "tu") for b in "bdfgklmnprstvz")

MAPPINGS: dict[str, Any] = {
    "properties": {
        "serial": {"type": "long"},
        "patch": {"type": "long"},
        "n": {"type": "integer"},
        "tag": {"type": "keyword"},
        "title": {"type": "text"},
        "body": {"type": "text"},
        "note": {"type": "text"},
    }
}
"""What is mapped from the start; some documents bring a field of their own (`extra_…`)."""


def document_id(lane: int, slot: int) -> str:
    """The id of a slot. Some are so long that the index keeps them hashed."""
    name = f"{lane}-{slot}"
    return name if slot % 61 != 60 else name.ljust(_LONG_ID_BYTES, "_")


def slot_of(id: str) -> tuple[int, int] | None:
    """(lane, slot) of an id; None when it is nobody's."""
    lane, _, slot = id.rstrip("_").partition("-")
    if not (lane.isdecimal() and slot.isdecimal()):
        return None
    found = int(lane), int(slot)
    return found if document_id(*found) == id and found[1] < slots_of(found[0]) else None


def slots_of(lane: int) -> int:
    """How many ids a lane has."""
    if lane == SHARED:
        return SHARED_SLOTS
    return WIDE_SLOTS if lane <= WIDE_LANES else NARROW_SLOTS


def first_serial(round: int, lane: int) -> int:
    """Where a lane's serials of a round begin; no two writes of a campaign have the same."""
    return (round * LANES + lane) * SERIALS_OF_A_LANE + 1


def lane_of(serial: int) -> int:
    """Whose serial this is."""
    return (serial - 1) // SERIALS_OF_A_LANE % LANES


def document(serial: int, patch: int | None = None) -> dict[str, Any]:
    """The document of this content."""
    chance = random.Random(serial)
    long = 300 if serial % 150 == 0 else 1
    made: dict[str, Any] = {
        "serial": serial,
        "title": _words(chance, 2, 5),
        "body": " ".join([_words(chance, 3, 30)] * long),
        "tag": f"t{serial % 7}",
        "n": chance.randrange(1000),
    }
    if serial % 40 == 0:
        made[f"extra_{serial // 40 % _EXTRA_FIELDS}"] = serial % 1000
    return made if patch is None else {**made, **change(patch)}


def change(patch: int) -> dict[str, Any]:
    """What an update of this serial puts into a document."""
    return {"patch": patch, "tag": f"t{patch % 7}", "note": _words(random.Random(patch), 1, 8)}


def refused_document(serial: int) -> dict[str, Any]:
    """A document that no index of these mappings takes."""
    return {**document(serial), "n": "no number"}


def content_of(source: dict[str, Any]) -> tuple[Content, bool]:
    """(content, whether the whole document is the one of that content)"""
    serial, patch = source.get("serial"), source.get("patch")
    if not isinstance(serial, int) or not isinstance(patch, int | None):
        return (-1, None), False
    return (serial, patch), source == document(serial, patch)


def queries(seed: int) -> list[dict[str, Any]]:
    """Searches whose scores depend on every document there is."""
    chance = random.Random(seed)
    one, two, three, four = chance.sample(_WORDS, 4)
    return [
        {"match": {"body": f"{one} {two} {three}"}},
        {"match_phrase": {"body": f"{one} {two}"}},
        {"multi_match": {"query": f"{three} {four}", "fields": ["title^2", "body", "note"]}},
        {
            "bool": {
                "should": [{"prefix": {"title": one[:2]}}, {"match": {"note": f"{two} {four}"}}],
                "filter": [{"range": {"n": {"gte": chance.randrange(500)}}}],
                "must_not": [{"term": {"tag": "t3"}}],
            }
        },
    ]


def _words(chance: random.Random, fewest: int, most: int) -> str:
    """Words of which some are frequent and most are rare, as in language."""
    return " ".join(
        _WORDS[int(len(_WORDS) * chance.random() ** 2)] for _ in range(chance.randint(fewest, most))
    )
