"""Checking a whole directory that this process has not open, without trusting a byte of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from quidditch.errors import CorruptIndex, FormatTooNew, FormatTooOld, IndexNotFound, StorageError
from quidditch.index.catalog import CATALOG_TABLES, IndexEntry
from quidditch.index.checking.entries import check_catalog, read_entries
from quidditch.index.checking.findings import Finding, Meter, Progress
from quidditch.index.checking.pages import check_file
from quidditch.index.checking.shard import check_rows
from quidditch.index.datafile import is_file
from quidditch.index.environment import Environment
from quidditch.index.storage import SHARD_TABLES, Table, Transaction
from quidditch.schema.mapping import Mapping, nearest

MOVES = 5
"""How often an index may be rewritten by others while it is checked."""

AtRest = Callable[[Path], AbstractContextManager[object]]
"""Keeps writers away from the environment in a folder, for as long as its pages are read."""

Entries = dict[str, tuple[IndexEntry, Mapping]]


def check_directory(
    root: Path,
    *,
    only: str | None = None,
    deep: bool = True,
    progress: Progress | None = None,
    at_rest: AtRest = nullcontext,
) -> Iterator[Finding]:
    """What is wrong with the catalogue and every index of a directory; each `where` begins with which one.

    only:      this index; without it, all
    at_rest:   needed unless the directory is a private copy: takes the write lock, say
    progress:  told how many bytes of the data files are done
    raises: StorageError   it cannot be read, or this process has it open; whatever `at_rest` raises
    """
    entries: Entries = {}
    yield from _environment(
        root / "catalog", CATALOG_TABLES, "catalogue", partial(_catalog, entries=entries), at_rest
    )
    if only is not None and entries:
        if only not in entries:
            raise IndexNotFound(f"no index [{only}] in {root}{nearest(only, entries)}")
        entries = {only: entries[only]}
    sizes = {name: _size_bytes(root, entry) for name, (entry, _) in entries.items()}
    meter = Meter(sum(sizes.values()), progress)
    for name, (entry, mapping) in entries.items():
        watch = _Share(meter, sizes[name])
        check = partial(check_rows, mapping=mapping, deep=deep, progress=watch)
        yield from _index(root, name, entry, check, at_rest)
        watch(1, 1)


def _size_bytes(root: Path, entry: IndexEntry) -> int:
    file = root / entry.generation / "0" / "data.mdb"
    return file.stat().st_size if is_file(file) else 0


def _index(
    root: Path,
    name: str,
    entry: IndexEntry,
    check: Callable[[Transaction], Iterator[Finding]],
    at_rest: AtRest,
) -> Iterator[Finding]:
    """The findings of one index, in whichever generation it is: others may move or delete it meanwhile."""
    for _ in range(MOVES):
        findings: list[Finding] = []
        failed: StorageError | None = None
        try:
            folder = root / entry.generation / "0"
            findings = list(_environment(folder, SHARD_TABLES, f"index [{name}], shard 0", check, at_rest))
        except StorageError as error:
            failed = error
        now = _entry_now(root, name) if findings or failed else entry
        if now is None:
            return
        if now.generation == entry.generation:
            if failed is not None:
                raise failed
            yield from findings
            return
        entry = now
    raise StorageError(f"{root}: index [{name}] was rewritten {MOVES} times while it was checked")


def _entry_now(root: Path, name: str) -> IndexEntry | None:
    environment = Environment(root / "catalog", CATALOG_TABLES, readonly=True)
    try:
        with environment.read() as transaction:
            found = read_entries(transaction).get(name)
            return None if found is None else found[0]
    finally:
        environment.close()


class _Share:
    """The progress of one environment as its share of the whole."""

    def __init__(self, meter: Meter, size_bytes: int) -> None:
        self._meter = meter
        self._size_bytes = size_bytes
        self._told = 0

    def __call__(self, done: int, total: int) -> None:
        now = self._size_bytes * done // max(total, 1)
        self._meter.add(now - self._told)
        self._told = now


def _catalog(transaction: Transaction, entries: Entries) -> Iterator[Finding]:
    """The catalogue's findings; its entries go into the dict if there are none."""
    clean = True
    for finding in check_catalog(transaction):
        clean = False
        yield finding
    if clean:
        entries.update(read_entries(transaction))


def _environment(
    folder: Path,
    tables: tuple[Table, ...],
    name: str,
    rows: Callable[[Transaction], Iterator[Finding]],
    at_rest: AtRest,
) -> Iterator[Finding]:
    """The file's findings, or if there are none those of its rows."""
    file = folder / "data.mdb"
    if not is_file(file):
        yield Finding("file", name, f"{file} is missing")
        return
    with at_rest(folder):
        findings = list(check_file(file))
    for finding in findings or _rows(folder, tables, rows):
        yield replace(finding, where=f"{name}: {finding.where}" if finding.where else name)


def _rows(
    folder: Path, tables: tuple[Table, ...], rows: Callable[[Transaction], Iterator[Finding]]
) -> Iterator[Finding]:
    try:
        environment = Environment(folder, tables, readonly=True)
    except (CorruptIndex, FormatTooNew, FormatTooOld) as error:
        yield Finding("file", "", str(error))
        return
    try:
        with environment.read() as transaction:
            yield from rows(transaction)
    except CorruptIndex as error:
        yield Finding("page", "", str(error))
    finally:
        environment.close()
