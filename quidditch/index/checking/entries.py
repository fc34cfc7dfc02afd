"""Checking the catalogue's rows: each index's entry can be read, and names a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import QuidditchError
from quidditch.index.catalog import CATALOG_TABLES, TEMPLATE_PREFIX, IndexEntry, check_name
from quidditch.index.checking.findings import Finding, capped, guarded, in_order
from quidditch.index.checking.rows import check_seals, check_tables, place
from quidditch.index.codecs import Buffer
from quidditch.index.storage import FORMAT_KEY, Table, Transaction
from quidditch.schema.mapping import Mapping

_GENERATION = re.compile("[0-9a-f]{32}")


def check_catalog(transaction: Transaction) -> Iterator[Finding]:
    """What is wrong with the rows of the catalogue, whose pages `check_file` has found to be sound."""
    steps = (
        lambda: check_tables(transaction, CATALOG_TABLES),
        lambda: check_seals(transaction, CATALOG_TABLES),
        lambda: guarded("catalogue", "", _entries(transaction)),
    )
    yield from capped(in_order(*steps))


def read_entries(transaction: Transaction) -> dict[str, tuple[IndexEntry, Mapping]]:
    """The indices of a catalogue in which nothing was found: entry and mapping by name."""
    found: dict[str, tuple[IndexEntry, Mapping]] = {}
    for key, value in transaction.rows(Table.INDICES):
        entry = msgspec.json.decode(value, type=IndexEntry)
        found[key.decode()] = (entry, Mapping.parse(entry.mappings, analyzers=ANALYZER_NAMES))
    return found


def _entries(transaction: Transaction) -> Iterator[Finding]:
    for key, _ in transaction.rows(Table.META):
        if key != FORMAT_KEY and not key.startswith(TEMPLATE_PREFIX):
            yield Finding("key", place(Table.META, key), "no row of this name is known")
    owners: dict[str, bytes] = {}
    for key, value in transaction.rows(Table.INDICES):
        where = f"index [{key.decode(errors='replace')}]"
        try:
            generation = _checked(key, value)
        except (QuidditchError, ValueError) as error:
            # msgspec's errors and those of decoding text are ValueErrors.
            yield Finding("catalogue", where, str(error))
            continue
        if generation in owners:
            words = f"lies in generation {generation}, as index [{owners[generation].decode()}] does"
            yield Finding("catalogue", where, words)
        owners[generation] = key


def _checked(key: bytes, value: Buffer) -> str:
    """The generation of an entry.

    raises: QuidditchError, ValueError   it cannot be read
    """
    check_name(key.decode())
    entry = msgspec.json.decode(value, type=IndexEntry)
    for generation in (entry.generation, *entry.former):
        if not _GENERATION.fullmatch(generation):
            raise ValueError(f"generation {generation[:80]!r}: 32 hexadecimal digits expected")
    if entry.shards != 1:
        raise ValueError(f"{entry.shards} shards, 1 expected")
    Mapping.parse(entry.mappings, analyzers=ANALYZER_NAMES)
    return entry.generation
