"""Checking a data file as bytes, without LMDB's engine: whatever is in it cannot crash the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quidditch.errors import QuidditchError
from quidditch.index.checking.findings import Finding, capped, guarded, in_order
from quidditch.index.checking.layout import check_layout
from quidditch.index.datafile import check_file_size, damages


def check_file(file: Path) -> Iterator[Finding]:
    """What is wrong with the pages of an environment's `data.mdb`; nothing for one that LMDB may open.

    The file must be at rest: a private copy, or nobody writes meanwhile. Readers may be there.
    cost: some seconds a gigabyte; holds nothing open when it is done
    """
    where = file.name
    steps = (
        lambda: _size(file),
        lambda: guarded("page", where, _pages(file)),
        lambda: guarded("page", where, _layout(file)),
    )
    yield from capped(in_order(*steps))


def _size(file: Path) -> Iterator[Finding]:
    try:
        check_file_size(file)
    except QuidditchError as error:
        yield Finding("file", file.name, str(error))


def _pages(file: Path) -> Iterator[Finding]:
    for words in damages(file):
        yield Finding("page", file.name, words)


def _layout(file: Path) -> Iterator[Finding]:
    with file.open("rb") as stream:
        yield from check_layout(stream)
