"""Which indices a directory holds: name -> generation, mapping, settings. Names never become paths.

What an index is made of lies in the folder of its *generation*. Whatever makes or replaces an index as a whole
(creating, compacting, restoring, upgrading) fills a new folder aside and then publishes it by one change of the
entry, so that readers of the old one go on, and a process killed meanwhile leaves a folder that belongs to nobody.
"""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Dict
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import (
    CorruptIndex,
    IndexExists,
    IndexNotFound,
    QuidditchError,
    RequestError,
    StorageError,
    StoreLocked,
)
from quidditch.index.codecs import decodes
from quidditch.index.environment import Environment
from quidditch.index.file_lock import FileLock, is_held
from quidditch.index.opening import sync_directory
from quidditch.index.storage import Table, Transaction
from quidditch.schema.mapping import Mapping, nearest
from quidditch.types import Json

FORMER_KEPT = 16
"""Generations that an entry remembers to have had."""

ORPHANS_WAIT_S = 0.2
"""How long connecting waits for the catalogue's lock to remove what nobody needs."""

TEMPLATE_PREFIX = b"template/"
"""Of the keys of templates, beside the format's in `meta`: releases before them read past what they do not know."""

CATALOG_TABLES = (Table.META, Table.INDICES)
MAX_NAME_BYTES = 255
_GENERATION = re.compile("[0-9a-f]{32}")
_FORBIDDEN = '\\/*?"<>| ,#:'


class IndexEntry(msgspec.Struct, frozen=True):
    """What the catalogue knows of one index. `generation` names its folder; `shards` lie in it as 0, 1, ...

    `former` are generations that this one took the place of: who still writes to one of them goes on here.
    `aliases` are further names, each with what it narrows a search to. A `closed` index refuses reads and writes.
    `created_ms` counts from 1970; 0 is not known.
    """

    generation: str
    mappings: dict[str, Any]
    settings: dict[str, Any] = {}
    shards: int = 1
    former: list[str] = []
    aliases: dict[str, dict[str, Any]] = {}
    closed: bool = False
    created_ms: int = 0


class GenerationReplaced(StorageError):
    """The index has moved to another generation since it was looked up: look again."""


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
        shown = name[:80].encode(errors="backslashreplace").decode()
        raise RequestError(f"index name [{shown}]: {rule}")
    return name


class Catalog:
    """The catalogue of one directory. Entries are read again whenever any process has changed one."""

    def __init__(self, environment: Environment, root: Path) -> None:
        self.environment = environment
        self._root = root
        self._lock = threading.Lock()
        self._seen: tuple[int, dict[str, IndexEntry]] = (-1, {})
        self._generations: tuple[dict[str, IndexEntry], frozenset[str]] = ({}, frozenset())
        self._raw: dict[bytes, tuple[bytes, IndexEntry]] = {}
        self._mappings: dict[str, tuple[IndexEntry, Mapping]] = {}

    def entries(self) -> dict[str, IndexEntry]:
        """All indices by name."""
        commit, entries = self._seen
        if commit == self.environment.last_commit():
            return entries
        with self.environment.read() as transaction, self._lock:
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

    def generations(self) -> frozenset[str]:
        """The folders that indices have."""
        entries = self.entries()
        known, generations = self._generations
        if known is not entries:
            generations = frozenset(entry.generation for entry in entries.values())
            self._generations = (entries, generations)
        return generations

    def get(self, name: str) -> IndexEntry:
        """raises: IndexNotFound   naming the nearest index there is"""
        entries = self.entries()
        try:
            return entries[name]
        except KeyError:
            raise IndexNotFound(f"no index [{name}] in {self._root}{nearest(name, entries)}") from None

    def check(self, name: str, generation: str) -> None:
        """raises: GenerationReplaced   the index is in another generation now
        IndexNotFound        it was deleted, even if another of its name was made since
        """
        _check_generation(name, generation, self.get(name))

    def mapping(self, name: str, generation: str | None = None) -> Mapping:
        """The mapping of an index as it is now.

        raises: IndexNotFound   also when another index of this name was made since that generation
        """
        entry = self.get(name)
        if generation is not None:
            with suppress(GenerationReplaced):
                _check_generation(name, generation, entry)
        with self._lock:
            known = self._mappings.get(name)
            if known is not None and known[0] is entry:
                return known[1]
            mapping = Mapping.parse(entry.mappings, analyzers=ANALYZER_NAMES)
            self._mappings[name] = (entry, mapping)
            return mapping

    # ------------------------------------------------------------------------------------------ generations

    @contextmanager
    def staged(self) -> Iterator[str]:
        """The number of a new generation, whose folder nobody removes while the block lasts, published or not.

        A folder that was not published by then is removed with the block, or by the next process that connects.
        """
        generation = uuid.uuid4().hex
        lock = FileLock(self._making(generation))
        # Under the write lock, as is the sweeping of such files: none is swept between its making and its locking.
        with self.environment.locked(), self.environment.translated():
            lock.try_acquire()
        try:
            yield generation
        finally:
            with suppress(QuidditchError):
                if generation not in self.generations():
                    # Of a commit that was said to have failed the disk may hold what the cache does not.
                    self.environment.sync()
                    shutil.rmtree(self._root / generation, ignore_errors=True)
            with suppress(OSError):
                self._making(generation).unlink(missing_ok=True)
            lock.close()

    def _making(self, generation: str) -> Path:
        return self._root / f"{generation}.making"

    def create(self, name: str, entry: IndexEntry) -> None:
        """Publish a staged generation as a new index.

        raises: IndexExists
        """
        check_name(name)
        with self._renamed() as transaction:
            if transaction.get(Table.INDICES, name.encode()) is not None:
                raise IndexExists(f"index [{name}] is already there in {self._root}")
            for key, value in transaction.rows(Table.INDICES):
                if name in _decode(key, value).aliases:
                    raise IndexExists(f"index [{name}]: an alias of index [{key.decode()}] has this name")
            transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(entry))

    @contextmanager
    def _renamed(self) -> Iterator[Transaction]:
        """A write transaction that may name folders: their own names are on disk before it is."""
        with self.environment.translated():
            sync_directory(self._root)
        with self.environment.write() as transaction:
            yield transaction

    # -------------------------------------------------------------------------------------------- templates

    def templates(self) -> dict[str, dict[str, Any]]:
        """What new indices are made after, by kind and name (`index/logs`)."""
        with self.environment.read() as transaction:
            return _templates(transaction)

    def change_templates(
        self, alter: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]
    ) -> None:
        """Keep the templates that `alter` makes of all of them, all at once; None forgets one.

        raises: whatever `alter` raises; nothing was changed then
        """
        with self.environment.write() as transaction:
            before = _templates(transaction)
            for name, body in alter(before).items():
                key = TEMPLATE_PREFIX + name.encode()
                if body is not None:
                    transaction.put(Table.META, key, msgspec.json.encode(body))
                elif name in before:
                    transaction.delete(Table.META, key)

    def fill(
        self, entries: dict[str, IndexEntry], templates: dict[str, dict[str, Any]] | None = None
    ) -> None:
        """Enter indices whose folders are there, all at once, into a catalogue that is being made."""
        with self._renamed() as transaction:
            for name, body in (templates or {}).items():
                transaction.put(Table.META, TEMPLATE_PREFIX + name.encode(), msgspec.json.encode(body))
            for name, entry in entries.items():
                transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(entry))

    def move(self, name: str, old: str, entry: IndexEntry | str) -> None:
        """Have the index go on in another generation, which replaces generation `old`.

        entry:  the number of a generation with the same documents, or a whole entry (of a restored index): who was
                writing to the old one is told that it is gone, for it may have another mapping
        raises: IndexNotFound, GenerationReplaced   it is not in generation `old` any more
        """
        with self._renamed() as transaction:
            now = self._entry(transaction, name)
            _check_generation(name, old, now)
            new = entry
            if isinstance(entry, str):
                former = [*now.former, old][-FORMER_KEPT:]
                new = msgspec.structs.replace(now, generation=entry, former=former)
            transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(new))

    def extend_mapping(self, name: str, generation: str, body: dict[str, Json]) -> Mapping:
        """Add fields to an index's mapping; other processes' fields are kept.

        raises: MappingError, IndexNotFound
        """
        with self.environment.write() as transaction:
            entry = self._entry(transaction, name)
            with suppress(GenerationReplaced):
                _check_generation(name, generation, entry)
            old = Mapping.parse(entry.mappings, analyzers=ANALYZER_NAMES)
            new = old.merged(body, analyzers=ANALYZER_NAMES)
            if new != old:
                changed = msgspec.structs.replace(entry, mappings=new.to_dict())
                transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(changed))
        return new

    def change(
        self, alter: Callable[[dict[str, IndexEntry]], Dict[str, IndexEntry | None]]
    ) -> list[IndexEntry]:
        """Put the entries that `alter` makes of all of them in the place of those of the same names, all at once.

        None forgets an index; what is returned are the entries of those, whose folders are the caller's to remove.
        raises: whatever `alter` raises; nothing was changed then
        """
        forgotten = []
        with self.environment.write() as transaction:
            before = {key.decode(): _decode(key, value) for key, value in transaction.rows(Table.INDICES)}
            for name, entry in alter(before).items():
                if entry is None:
                    transaction.delete(Table.INDICES, name.encode())
                    forgotten.append(before[name])
                elif entry != before[name]:
                    transaction.put(Table.INDICES, name.encode(), msgspec.json.encode(entry))
        return forgotten

    def delete(self, name: str) -> IndexEntry:
        """Forget an index; its folder is the caller's to remove.

        raises: IndexNotFound
        """
        self.get(name)
        with self.environment.write() as transaction:
            entry = self._entry(transaction, name)
            transaction.delete(Table.INDICES, name.encode())
        return entry

    def _entry(self, transaction: Transaction, name: str) -> IndexEntry:
        value = transaction.get(Table.INDICES, name.encode())
        if value is None:
            raise IndexNotFound(f"no index [{name}] in {self._root}")
        return _decode(name.encode(), value)

    def folder(self, generation: str, shard: int = 0) -> Path:
        return self._root / generation / str(shard)

    def remove_folder(self, generation: str) -> None:
        """Remove the files of a generation that no entry names; who has them open reads on."""
        shutil.rmtree(self._root / generation, ignore_errors=True)

    def remove_orphans(self) -> None:
        """Remove the folders that no index has and nobody is filling: what deletions and killed processes left."""
        with self.environment.translated():
            self._remove_orphans()

    def _remove_orphans(self) -> None:
        known = self.generations()
        if not any(self._is_suspect(path, known) for path in self._root.iterdir()):
            return
        # Under the write lock nobody publishes a folder or begins to fill one. If another has it, another time.
        with suppress(StoreLocked), self.environment.locked(timeout_s=ORPHANS_WAIT_S):
            known = self.generations()
            # A process killed in its commit leaves a catalogue that we see and a loss of power takes back: what the
            # one before it names must not be gone then.
            self.environment.sync()
            for path in self._root.iterdir():
                if not self._is_suspect(path, known) or is_held(self._making(path.name[:32])):
                    continue
                if path.suffix:
                    path.unlink(missing_ok=True)
                else:
                    shutil.rmtree(path, ignore_errors=True)

    def _is_suspect(self, path: Path, known: AbstractSet[str]) -> bool:
        return bool(_GENERATION.fullmatch(path.name.removesuffix(".making"))) and path.name not in known


def _check_generation(name: str, generation: str, entry: IndexEntry) -> None:
    if generation == entry.generation:
        return
    if generation in entry.former:
        raise GenerationReplaced(f"index [{name}] has moved to another generation")
    raise IndexNotFound(f"index [{name}] was deleted or replaced, and another has its name")


@decodes("entry of the catalogue")
def _decode(name: bytes, value: bytes | memoryview) -> IndexEntry:
    try:
        return msgspec.json.decode(value, type=IndexEntry)
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"catalogue: the entry of index {name!r} is unreadable: {error}") from error


def _templates(transaction: Transaction) -> dict[str, dict[str, Any]]:
    return {
        key[len(TEMPLATE_PREFIX) :].decode(): _decode_template(key, value)
        for key, value in transaction.rows(Table.META, TEMPLATE_PREFIX)
    }


@decodes("template of the catalogue")
def _decode_template(name: bytes, value: bytes | memoryview) -> dict[str, Any]:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"catalogue: the template {name!r} is unreadable: {error}") from error
