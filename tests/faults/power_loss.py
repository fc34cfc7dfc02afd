"""A disk that may lose power: what each call left in its cache, what of that must be there afterwards, what may be.

`Disk` takes the records of the shim one by one. At any moment `Disk.write_image` makes a directory as a disk could
hold it after the power went out:

- Of a file's 512-byte sectors, those written since its last sync may each be there or not, in any version that was
  in the cache; so large writes are torn anywhere, and a write inside one sector is not. A write through O_DSYNC is
  there once it returned, and no other write with it.
- A file's size after its last sync is any that it had since. `fdatasync` makes it as large as the data needs, and
  no larger: space that a truncation added may still go. What the disk has no data for is zeros.
- Names made, moved or removed since the last sync of their directory may be lost: a directory keeps a first part of
  these changes. A rename is whole in both its directories. The sync of a file says nothing about its name.
- A sync that failed leaves its writes in doubt for good: the system may have dropped them from its cache, so a later
  sync that succeeds does not settle them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shim import Action, Record

SECTOR = 512
PAGE = 4096


class Survival(Protocol):
    """What of the things that may be lost is there after the power went out."""

    def prefix(self, changes: int) -> int:
        """How many of a directory's changes."""

    def size(self, durable: int, since: list[int]) -> int:
        """The size of a file that had these sizes since its last sync."""

    def versions(self, sectors: dict[int, list[bytes]]) -> dict[int, bytes]:
        """The sectors of a file that are there, in the version that is."""


class Lost:
    """Nothing that may be lost is there."""

    def prefix(self, changes: int) -> int:
        return 0

    def size(self, durable: int, since: list[int]) -> int:
        return durable

    def versions(self, sectors: dict[int, list[bytes]]) -> dict[int, bytes]:
        return {}


class Kept:
    """Everything is there, as after the kill of a process."""

    def prefix(self, changes: int) -> int:
        return changes

    def size(self, durable: int, since: list[int]) -> int:
        return since[-1] if since else durable

    def versions(self, sectors: dict[int, list[bytes]]) -> dict[int, bytes]:
        return {sector: contents[-1] for sector, contents in sectors.items()}


class Mixed:
    """A random part is there: single sectors, whole pages, or whole files."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def prefix(self, changes: int) -> int:
        return self._chance.randint(0, changes)

    def size(self, durable: int, since: list[int]) -> int:
        size: int = self._chance.choice([durable, *since])
        # Between two sizes the disk may know the file in any whole number of pages.
        low, high = sorted((durable, size))
        between: int = self._chance.choice([size, *range((low // PAGE + 1) * PAGE, high, PAGE)])
        return between

    def versions(self, sectors: dict[int, list[bytes]]) -> dict[int, bytes]:
        share = self._chance.choice([0.1, 0.5, 0.9])
        unit = self._chance.choice([1, PAGE // SECTOR, 1 << 40])
        there = {group: self._chance.random() < share for group in {sector // unit for sector in sectors}}
        return {
            sector: self._chance.choice(contents) if unit == 1 else contents[-1]
            for sector, contents in sectors.items()
            if there[sector // unit]
        }


class File:
    """The content of one file: as processes see it, as the disk must have it, and what it may have besides."""

    def __init__(self) -> None:
        self._cached = bytearray()
        self._durable = bytearray()
        self._pending: dict[int, list[bytes]] = {}
        self._doubtful: dict[int, list[bytes]] = {}
        self._sizes: list[int] = []
        self._data_end = 0

    @property
    def size(self) -> int:
        return len(self._cached)

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > self.size:
            self.resize(end)
        self._data_end = max(self._data_end, end)
        self._cached[offset:end] = data
        self._note(range(offset // SECTOR, -(-end // SECTOR)))

    def resize(self, size: int) -> None:
        shrinks = size < self.size
        self._cached = _resized(self._cached, size)
        self._sizes.append(size)
        if shrinks:
            # What is read there after the file has grown again is zeros.
            self._data_end = min(self._data_end, size)
            self._note({*range(size // SECTOR, -(-len(self._durable) // SECTOR)), *self._beyond(size)})

    def _beyond(self, size: int) -> list[int]:
        return [sector for sector in (*self._pending, *self._doubtful) if sector >= size // SECTOR]

    def _note(self, sectors: Iterable[int]) -> None:
        for sector in sectors:
            self._pending.setdefault(sector, []).append(_sector(self._cached, sector))

    def settle(self, offset: int, end: int) -> None:
        """A write through O_DSYNC has returned."""
        self._settle(range(offset // SECTOR, -(-end // SECTOR)), max(len(self._durable), end))

    def sync(self, data_alone: bool) -> None:
        needed = min(self.size, max(len(self._durable), self._data_end))
        self._settle(list(self._pending), needed if data_alone else self.size)

    def _settle(self, sectors: Iterable[int], size: int) -> None:
        self._durable = _resized(self._durable, size)
        for sector in sectors:
            start = sector * SECTOR
            part = _sector(self._cached, sector)[: max(0, size - start)]
            self._durable[start : start + len(part)] = part
            self._pending.pop(sector, None)
            self._doubtful.pop(sector, None)
        self._sizes = [] if size == self.size else [self.size]

    def fail_to_sync(self) -> None:
        for sector, contents in self._pending.items():
            self._doubtful.setdefault(sector, []).extend(contents)
        self._pending.clear()

    def image(self, survival: Survival) -> bytes:
        found = _resized(self._durable, survival.size(len(self._durable), self._sizes))
        may_be = {sector: list(contents) for sector, contents in self._doubtful.items()}
        for sector, contents in self._pending.items():
            may_be.setdefault(sector, []).extend(contents)
        for sector, content in survival.versions(may_be).items():
            part = content[: max(0, len(found) - sector * SECTOR)]
            found[sector * SECTOR : sector * SECTOR + len(part)] = part
        return bytes(found)


def _resized(content: bytearray, size: int) -> bytearray:
    return content[:size] + bytes(max(0, size - len(content)))


def _sector(content: bytearray, sector: int) -> bytes:
    return bytes(content[sector * SECTOR : (sector + 1) * SECTOR]).ljust(SECTOR, b"\0")


class Folder:
    """The names in one directory: as processes see them, as the disk must have them, and the changes between."""

    def __init__(self) -> None:
        self.cached: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self.pending: list[Change] = []

    def sync(self) -> None:
        while self.pending:
            self.pending[0].settle()


Node = File | Folder


@dataclass(eq=False, slots=True)
class Change:
    """A name that was removed, one that was added, or both at once: a rename."""

    removed: tuple[Folder, str] | None = None
    added: tuple[Folder, str, Node] | None = None
    folders: list[Folder] = field(default_factory=list)

    def make(self) -> None:
        both = [place[0] for place in (self.removed, self.added) if place is not None]
        self.folders = both[:1] if both[0] is both[-1] else both
        for folder in self.folders:
            self.apply(folder, folder.cached)
            folder.pending.append(self)

    def apply(self, folder: Folder, names: dict[str, Node]) -> None:
        """To the names of one of its directories."""
        if self.removed is not None and self.removed[0] is folder:
            names.pop(self.removed[1], None)
        if self.added is not None and self.added[0] is folder:
            names[self.added[1]] = self.added[2]

    def settle(self) -> None:
        """Make it durable, and before it what came before it in its directories."""
        for folder in self.folders:
            while folder.pending[0] is not self:
                folder.pending[0].settle()
        for folder in self.folders:
            self.apply(folder, folder.durable)
            folder.pending.pop(0)


class Disk:
    """A directory that was there and empty, and everything below it."""

    def __init__(self) -> None:
        self.root = Folder()

    # ------------------------------------------------------------------------------------------------ calls

    def begin(self, record: Record) -> None:
        """The call has done something, and has not returned."""
        path, data = record.path, record.data
        match record.action:
            case Action.CREATE:
                self._create(path, empties=record.durable)
            case Action.WRITE:
                self._with_file(path, lambda file: file.write(record.offset, data))
            case Action.SIZE:
                self._with_file(path, lambda file: file.resize(record.offset))
            case Action.GROW:
                self._with_file(path, lambda file: file.resize(max(file.size, record.offset)))
            case Action.MAKE_DIRECTORY:
                Change(added=(*self._place(path), Folder())).make()
            case Action.REMOVE:
                Change(removed=self._place(path)).make()
            case Action.RENAME:
                node = self._named(path)
                Change(self._place(path), (*self._place(record.target), node)).make()
            case Action.LINK:
                Change(added=(*self._place(record.target), self._named(path))).make()
            case Action.MAPPED:
                raise AssertionError(f"{path or 'a file'} was written through a map, which no record shows")

    def complete(self, record: Record) -> None:
        """The call has returned."""
        if record.action is Action.WRITE and record.durable:
            end = record.offset + len(record.data)
            self._with_file(record.path, lambda file: file.settle(record.offset, end))
        if record.action in (Action.SYNC, Action.DATA_SYNC):
            self._sync(record)

    def _sync(self, record: Record) -> None:
        node = self._find(record.path)
        if isinstance(node, File):
            if record.error:
                node.fail_to_sync()
            else:
                node.sync(data_alone=record.action is Action.DATA_SYNC)
        elif node is not None and not record.error:
            node.sync()

    def _create(self, path: str, empties: bool) -> None:
        node = self._find(path)
        if node is None:
            Change(added=(*self._place(path), File())).make()
        elif isinstance(node, File) and empties and node.size:
            node.resize(0)

    def _with_file(self, path: str, do: Callable[[File], None]) -> None:
        node = self._find(path)
        assert isinstance(node, File), f"the record changes {path}, of which it does not know"
        do(node)

    # ------------------------------------------------------------------------------------------------ names

    def _find(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in path.split("/"):
            node = node.cached.get(name) if isinstance(node, Folder) and name else node
        return node

    def _named(self, path: str) -> Node:
        node = self._find(path)
        assert node is not None, f"the record names {path}, of which it does not know"
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        node = self._named(folder)
        assert isinstance(node, Folder)
        return node, name

    # ---------------------------------------------------------------------------------------------- images

    def write_image(self, folder: Path, survival: Survival) -> None:
        """The directory as it could be found when the power is back."""
        kept = _surviving(self.root, survival)
        _write_folder(self.root, folder, survival, kept)


def _surviving(root: Folder, survival: Survival) -> set[Change]:
    """The changes of names that are there: of every directory a first part, and renames in both or in none."""
    folders = list(_folders(root))
    counts = {id(folder): survival.prefix(len(folder.pending)) for folder in folders}
    while True:
        kept = {change for folder in folders for change in folder.pending[: counts[id(folder)]]}
        torn = False
        for folder in folders:
            for place, change in enumerate(folder.pending[: counts[id(folder)]]):
                others = [other for other in change.folders if other is not folder]
                if any(change not in other.pending[: counts.get(id(other), 0)] for other in others):
                    counts[id(folder)], torn = place, True
                    break
        if not torn:
            return kept


def _folders(folder: Folder) -> Iterator[Folder]:
    """The directory and all that are or were below it since its last sync."""
    seen: dict[int, Folder] = {}
    waiting = [folder]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        nodes = [*one.cached.values(), *one.durable.values()]
        nodes += [change.added[2] for change in one.pending if change.added is not None]
        waiting += [node for node in nodes if isinstance(node, Folder)]
        waiting += [other for change in one.pending for other in change.folders]
    yield from seen.values()


def _write_folder(folder: Folder, path: Path, survival: Survival, kept: set[Change]) -> None:
    path.mkdir()
    names = dict(folder.durable)
    for change in folder.pending:
        if change in kept:
            change.apply(folder, names)
    for name, node in names.items():
        if isinstance(node, Folder):
            _write_folder(node, path / name, survival, kept)
        else:
            (path / name).write_bytes(node.image(survival))
