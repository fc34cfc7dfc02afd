"""Which indices a directory holds: name -> generation, mapping, settings. Names never become paths."""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any

import msgspec

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import CorruptIndex, IndexExists, IndexNotFound, RequestError
from quidditch.index.codecs import decodes
from quidditch.index.environment import Environment
from quidditch.index.storage import Table, Transaction
from quidditch.schema.mapping import Mapping, nearest
from quidditch.types import Json

CATALOG_TABLES = (Table.META, Table.INDICES)
MAX_NAME_BYTES = 255
_GENERATION = re.compile("[0-9a-f]{32}")
_FORBIDDEN = '\\/*?"<>| ,#:'


class IndexEntry(msgspec.Struct, frozen=True):
    """What the catalogue knows of one index. `generation` names its folder; `shards` lie in it as 0, 1, ..."""

    generation: str
    mappings: dict[str, Any]
    settings: dict[str, Any] = {}
    shards: int = 1


def check_name(name: object) -> str:
    """The name, if it may name an index: OpenSearch's rules.

    raises: RequestError   naming the rule that it breaks
    """
    if not isinstance(name, str) or not name:
        raise RequestError(f"index name: a string of 1 to {MAX_NAME_BYTES} bytes expected, not {name!r}")
    rule = ""
    if name in (".", "..") or name[0] in "-_+":
        rule = "must not be . or .., nor start with -, _ or +"
    elif name != name.lower():
        rule = "must be lower case"
    elif any(character in _FORBIDDEN or not character.isprintable() for character in name):
        rule = f"must hold no control character and none of {_FORBIDDEN}"
    elif len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        rule = f"must not be longer than {MAX_NAME_BYTES} bytes"
    if rule:
        raise RequestError(f"index name [{name[:80]}]: {rule}")
    return name


class Catalog:
    """The catalogue of one directory. Entries are read again whenever any process has changed one."""

    def __init__(self, environment: Environment, root: Path) -> None:
        self._environment = environment
        self._root = root
        self._lock = threading.Lock()
        self._seen: tuple[int, dict[str, IndexEntry]] = (-1, {})
        self._raw: dict[bytes, tuple[bytes, IndexEntry]] = {}
        self._mappings: dict[str, tuple[IndexEntry, Mapping]] = {}

    def entries(self) -> dict[str, IndexEntry]:
        """All indices by name."""
        with self._environment.read() as transaction, self._lock:
            if self._seen[0] != transaction.id:
                self._seen = (transaction.id, self._read_entries(transaction))
            return self._seen[1]

    def _read_entries(self, transaction: Transaction) -> dict[str, IndexEntry]:
        """All entries; those whose bytes did not change are the same objects as before."""
        known, self._raw = self._raw, {}
        for key, value in transaction.rows(Table.INDICES):
            raw = bytes(value)
            before = known.get(key)
            entry = before[1] if before is not None and before[0] == raw else _decode(key, raw)
            self._raw[key] = (raw, entry)
        found = {key.decode(): entry for key, (_, entry) in self._raw.items()}
        self._mappings = {name: kept for name, kept in self._mappings.items() if name in found}
        return found

    def generations(self) -> set[str]:
        """The folders that indices have."""
        return {entry.generation for entry in self.entries().values()}

    def get(self, name: str) -> IndexEntry:
        """raises: IndexNotFound   naming the nearest index there is"""
        entries = self.entries()
        try:
            return entries[name]
        except KeyError:
            raise IndexNotFound(f"no index [{name}] in {self._root}{nearest(name, entries)}") from None

    def mapping(self, name: str, generation: str | None = None) -> Mapping:
        """The mapping of an index as it is now.

        raises: IndexNotFound   also when it is no longer the index of this generation
        """
        entry = self.get(name)
        if generation not in (None, entry.generation):
            raise IndexNotFound(f"index [{name}] was deleted, and another of its name made")
        with self._lock:
            known = self._mappings.get(name)
            if known is not None and known[0] is entry:
                return known[1]
            mapping = Mapping.parse(entry.mappings, analyzers=ANALYZER_NAMES)
            self._mappings[name] = (entry, mapping)
            return mapping

    def create(self, name: str, mapping: Mapping, settings: dict[str, Json]) -> IndexEntry:
        """raises: IndexExists"""
        check_name(name)
        entry = IndexEntry(uuid.uuid4().hex, mapping.to_dict(), settings)
        with self._environment.write() as transaction:
            if transaction.get(Table.INDICES, name.encode()) is not None:
                raise IndexExists(f"index [{name}] is already there in {self._root}")
            transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(entry))
        return entry

    def extend_mapping(self, name: str, generation: str, body: dict[str, Json]) -> Mapping:
        """Add fields to an index's mapping; other processes' fields are kept.

        raises: MappingError, IndexNotFound
        """
        with self._environment.write() as transaction:
            entry = self._entry(transaction, name)
            if entry.generation != generation:
                raise IndexNotFound(f"index [{name}] was deleted, and another of its name made")
            old = Mapping.parse(entry.mappings, analyzers=ANALYZER_NAMES)
            new = old.merged(body, analyzers=ANALYZER_NAMES)
            if new != old:
                changed = msgspec.structs.replace(entry, mappings=new.to_dict())
                transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(changed))
        return new

    def delete(self, name: str) -> IndexEntry:
        """Forget an index; its folder is the caller's to remove.

        raises: IndexNotFound
        """
        self.get(name)
        with self._environment.write() as transaction:
            entry = self._entry(transaction, name)
            transaction.delete(Table.INDICES, name.encode())
        return entry

    def _entry(self, transaction: Transaction, name: str) -> IndexEntry:
        value = transaction.get(Table.INDICES, name.encode())
        if value is None:
            raise IndexNotFound(f"no index [{name}] in {self._root}")
        return _decode(name.encode(), value)

    def folder(self, entry: IndexEntry, shard: int = 0) -> Path:
        return self._root / entry.generation / str(shard)

    def remove_folder(self, entry: IndexEntry) -> None:
        shutil.rmtree(self._root / entry.generation, ignore_errors=True)

    def remove_orphans(self) -> None:
        """Remove the folders of indices whose deletion was cut short. An entry is there before its folder is, so
        a folder without one belongs to nobody."""
        folders = [path for path in self._root.iterdir() if _GENERATION.fullmatch(path.name)]
        generations = self.generations() if folders else set()
        for folder in folders:
            if folder.name not in generations:
                shutil.rmtree(folder, ignore_errors=True)


@decodes("entry of the catalogue")
def _decode(name: bytes, value: bytes | memoryview) -> IndexEntry:
    try:
        return msgspec.json.decode(value, type=IndexEntry)
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"catalogue: the entry of index {name!r} is unreadable: {error}") from error
