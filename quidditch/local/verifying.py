"""Checks of what lies on disk, of indices that are open and of directories that are not yet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from time import monotonic

from quidditch.errors import CorruptIndex, StorageError, StoreLocked
from quidditch.index.checking import (
    Finding,
    Progress,
    check_catalog,
    check_directory,
    check_file,
    check_rows,
)
from quidditch.index.datafile import newest_transaction
from quidditch.index.environment import Environment
from quidditch.index.file_lock import WriteLock
from quidditch.interface import CheckReport, Problem
from quidditch.local.directory import Directory
from quidditch.local.options import Options

MOVING_TRIES = 3
"""How often the pages of a file are walked again because somebody else wrote to it meanwhile."""


def check_index(directory: Directory, name: str, deep: bool, progress: Progress | None = None) -> CheckReport:
    """What is wrong with one index: its pages, while nobody writes, then its rows in one snapshot."""
    with directory.use(name) as shard:
        shard.writer.sync()
        environment = shard.environment
        findings = _pages(environment)
        if not findings:
            with environment.read() as transaction:
                mapping = shard.schema.current()
                findings = list(check_rows(transaction, mapping, deep=deep, progress=progress))
    return _report(f"index [{name}]", findings)


def check_catalogue(directory: Directory) -> CheckReport:
    """What is wrong with the catalogue."""
    environment = directory.catalog.environment
    findings = _pages(environment)
    if not findings:
        with environment.read() as transaction:
            findings = list(check_catalog(transaction))
    return _report("catalogue", findings)


def check_closed(path: Path, name: str | None, *, deep: bool, progress: Progress | None) -> CheckReport:
    """What is wrong with a directory that this process has not open: the files before LMDB sees any of them.

    raises: IndexNotFound, StorageError, StoreLocked
    """
    options = Options()

    def at_rest(folder: Path) -> AbstractContextManager[object]:
        writable = os.access(folder, os.W_OK) and os.access(folder / "write.lock", os.W_OK)
        return _locked(folder, options.write_timeout_s) if writable else nullcontext()

    findings = check_directory(path, only=name, deep=deep, progress=progress, at_rest=at_rest)
    return CheckReport(_problems("", findings))


def verify_directory(path: Path, options: Options) -> None:
    """Check a directory before it is opened, its sources left out.

    raises: CorruptIndex   naming the first of what is wrong
    """

    def at_rest(folder: Path) -> AbstractContextManager[object]:
        return nullcontext() if options.readonly else _locked(folder, options.write_timeout_s)

    raise_if_damaged(path, _problems("", check_directory(path, deep=False, at_rest=at_rest)))


def raise_if_damaged(
    path: Path, problems: Iterable[Problem], advice: str = "restore it from a backup"
) -> None:
    """raises: CorruptIndex   naming the first problem, and how many more there are"""
    found = list(problems)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise CorruptIndex(f"{path}: {found[0]}{more}; {advice}")


def _pages(environment: Environment) -> list[Finding]:
    """The findings of a page walk, with writers kept away or, by a reader, until none came between.

    raises: StorageError   opened read-only, and others write without pause
    """
    if not environment.readonly:
        with environment.locked(to_write=False):
            return list(check_file(environment.file))
    for _ in range(MOVING_TRIES):
        before = newest_transaction(environment.file)
        findings = list(check_file(environment.file))
        if not findings or newest_transaction(environment.file) == before:
            return findings
    raise StorageError(
        f"{environment.path}: is being written while its pages are checked; check it from a handle that may write"
    )


@contextmanager
def _locked(folder: Path, timeout_s: float) -> Iterator[None]:
    lock = WriteLock(folder)
    try:
        if not lock.acquire(monotonic() + timeout_s):
            raise StoreLocked(f"{folder}: waited {timeout_s:g} s for the write lock, held by {lock.holder()}")
        yield
    except OSError as error:
        raise StorageError(f"{folder}: cannot be locked to check it: {error}") from error
    finally:
        lock.close()


def _report(where: str, findings: Iterable[Finding]) -> CheckReport:
    return CheckReport(_problems(where, findings))


def _problems(where: str, findings: Iterable[Finding]) -> tuple[Problem, ...]:
    return tuple(
        Problem(one.what, ", ".join(filter(None, (where, one.where))), one.words) for one in findings
    )
