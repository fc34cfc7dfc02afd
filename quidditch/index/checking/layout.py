"""What `lmdb.verify` leaves open about the pages of a data file in which it found nothing.

It proves that every page is reached once and every key lies in order, which makes scanning sound. Three things
more make looking up and writing sound: that LMDB reads the newest commit, that the nodes of a page lie end to end
(LMDB moves them by their sizes), and that keys lie between the separators above them (a look-up goes by those).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from quidditch.index.checking.findings import Finding

_META = struct.Struct("<40x48s48sQQ")
"""An LMDB meta page: headers, the trees of free pages and of named tables, last page, transaction."""

_TREE = struct.Struct("<4xHH32xQ")
"""The record of a tree: flags, depth, root."""

_HEADER = struct.Struct("<QHHHH")
"""A page's header: its number, padding, flags, where the offsets of its nodes end, where its nodes begin."""

_NODE = struct.Struct("<IHH")
"""A node's header: size of the value (in a leaf), flags, size of the key."""

_PAGE_BYTES_AT = 40
_NO_PAGE = (1 << 64) - 1
_HEADER_BYTES = 16
_BRANCH, _OVERFLOWS, _IS_TABLE = 0x01, 0x01, 0x02
_DEEPEST = 32
"""Levels of LMDB's deepest tree."""

_FREE_TREE_FLAGS = 0x08
"""What LMDB sets for the tree of free pages: its keys are integers."""

Order = Callable[[bytes], bytes]
"""A key as bytes that compare like it."""


class Node(NamedTuple):
    """One entry of a page. `start` and `end` are its place in the page, padding included; `child` is the page below
    it, or of a value with pages of its own; `value` are the bytes in the page."""

    key: bytes
    flags: int
    start: int
    end: int
    child: int
    value: bytes
    value_bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One of the file's trees. `name` is that of a table, or what LMDB's own are called here."""

    name: str
    flags: int
    root: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a tree, its nodes in key order, and the separators above it: keys from `low` to below `high`.

    lower, upper:  what its header says: where the offsets of its nodes end, and where its nodes begin
    """

    number: int
    is_branch: bool
    lower: int
    upper: int
    nodes: list[Node]
    low: bytes | None
    high: bytes | None


class PageFile:
    """The trees of a data file whose pages are sound."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.page_bytes = int.from_bytes(self._read(_PAGE_BYTES_AT, 4), "little")
        metas = (self._meta(0), self._meta(1))
        self.newest, self.older = sorted(metas, key=lambda meta: meta.transaction, reverse=True)

    def _read(self, start: int, size: int) -> bytes:
        self._stream.seek(start)
        return self._stream.read(size)

    def _meta(self, number: int) -> Meta:
        free, main, _, transaction = _META.unpack(self._read(number * self.page_bytes, _META.size))
        return Meta(transaction, _tree("free pages", free), _tree("tables", main))

    def trees(self) -> Iterator[Tree]:
        """LMDB's two own trees, then the tables."""
        yield self.newest.free
        yield self.newest.main
        for page in self.pages(self.newest.main):
            for node in () if page.is_branch else page.nodes:
                if node.flags & _IS_TABLE:
                    yield _tree(node.key.decode("ascii", "replace"), node.value)

    def pages(self, tree: Tree) -> Iterator[Page]:
        """Every page of the tree, parents first, in key order."""
        if tree.root != _NO_PAGE:
            yield from self._below(tree.root, None, None)

    def last_freed(self, free: Tree) -> int:
        """The transaction that freed pages last; 0 where no free page is listed."""
        number = free.root
        for _ in range(_DEEPEST if number != _NO_PAGE else 0):
            page = self._page(number, None, None)
            if not page.is_branch:
                return int.from_bytes(page.nodes[-1].key, "little")
            number = page.nodes[-1].child
        return 0

    def _below(self, number: int, low: bytes | None, high: bytes | None) -> Iterator[Page]:
        page = self._page(number, low, high)
        yield page
        if not page.is_branch:
            return
        # The key of a branch's first node stands for whatever is below the second's.
        separators = [low, *(node.key for node in page.nodes[1:]), high]
        for node, (from_key, to_key) in zip(page.nodes, pairwise(separators), strict=True):
            yield from self._below(node.child, from_key, to_key)

    def _page(self, number: int, low: bytes | None, high: bytes | None) -> Page:
        data = self._read(number * self.page_bytes, self.page_bytes)
        _, _, flags, lower, upper = _HEADER.unpack_from(data)
        is_branch = bool(flags & _BRANCH)
        count = (lower - _HEADER_BYTES) // 2
        places = struct.unpack_from(f"<{count}H", data, _HEADER_BYTES)
        nodes = [_node(data, place, is_branch) for place in places]
        return Page(number, is_branch, lower, upper, nodes, low, high)


@dataclass(frozen=True, slots=True)
class Meta:
    """What one of the two meta pages says: the last or the last but one commit."""

    transaction: int
    free: Tree
    main: Tree


def _tree(name: str, record: bytes) -> Tree:
    flags, _, root = _TREE.unpack(record)
    return Tree(name, flags, root)


def _node(data: bytes, start: int, is_branch: bool) -> Node:
    size, flags, key_bytes = _NODE.unpack_from(data, start)
    key_end = start + _NODE.size + key_bytes
    key = data[start + _NODE.size : key_end]
    if is_branch:
        # A page's number takes the place of the value's size and of the flags.
        return Node(key, 0, start, _even(key_end), size | flags << 32, b"", 0)
    if flags & _OVERFLOWS:
        (child,) = struct.unpack_from("<Q", data, key_end)
        return Node(key, flags, start, _even(key_end + 8), child, b"", size)
    return Node(key, flags, start, _even(key_end + size), 0, data[key_end : key_end + size], size)


def _even(place: int) -> int:
    return place + place % 2


# --------------------------------------------------------------------------------------------------- the check


def check_layout(stream: BinaryIO) -> Iterator[Finding]:
    """What would mislead LMDB in a file whose pages `lmdb.verify` has found to be sound.

    cost: reads every page of a tree once more; no page of a large value
    """
    file = PageFile(stream)
    yield from _newest_commit(file)
    for tree in file.trees():
        yield from _flags(tree, _FREE_TREE_FLAGS if tree == file.newest.free else 0)
        order = _as_integer if tree == file.newest.free else bytes
        kinds = (_IS_TABLE,) if tree == file.newest.main else (0, _OVERFLOWS)
        for page in file.pages(tree):
            yield from _nodes(page, tree.name, kinds, file.page_bytes)
            yield from _bounds(page, tree.name, order)


def _flags(tree: Tree, expected: int) -> Iterator[Finding]:
    if tree.flags != expected:
        yield Finding("page", f"tree [{tree.name}]", f"flags {tree.flags:#x}, {expected:#x} expected")


def _newest_commit(file: PageFile) -> Iterator[Finding]:
    """Is the meta page that LMDB goes by the last one written? Every commit but the first frees pages, and lists
    them under its own number: so each commit's tree of free pages dates it."""
    newest = file.newest
    last = file.last_freed(newest.free)
    if last != newest.transaction and newest.transaction > 1:
        yield Finding(
            "page", "meta page", f"says transaction {newest.transaction}, and its last free pages {last}"
        )
    try:
        before = file.last_freed(file.older.free)
    except (ValueError, LookupError, ArithmeticError, OSError, struct.error):
        # The commit before the last is nobody's any more: whatever is wrong with its pages does not matter.
        return
    if newest.transaction < before < 1 << 63:
        yield Finding(
            "page",
            "meta page",
            f"says transaction {file.older.transaction} of a commit that was transaction {before}: "
            f"LMDB goes by the older one, {newest.transaction}",
        )


def _nodes(page: Page, tree: str, kinds: tuple[int, ...], page_bytes: int) -> Iterator[Finding]:
    """Do the nodes lie end to end, and are those of a leaf what its tree holds: tables, or values?"""
    where = f"page {page.number}, tree [{tree}]"
    nodes = sorted(page.nodes, key=lambda node: node.start)
    ends = [page.upper, *(node.end for node in nodes)]
    if ends != [*(node.start for node in nodes), page_bytes] or page.lower % 2:
        yield Finding("page", where, "its nodes do not lie end to end")
    for node in () if page.is_branch else nodes:
        if node.flags not in kinds:
            yield Finding(
                "page", where, f"key {node.key.hex()}: flags {node.flags:#x}, one of {kinds} expected"
            )


def _bounds(page: Page, tree: str, order: Order) -> Iterator[Finding]:
    """Do a leaf's keys lie between the separators above them?"""
    if page.is_branch or not page.nodes:
        return
    first, last = order(page.nodes[0].key), order(page.nodes[-1].key)
    below = page.low is not None and first < order(page.low)
    if below or (page.high is not None and last >= order(page.high)):
        yield Finding(
            "page",
            f"page {page.number}, tree [{tree}]",
            f"keys {page.nodes[0].key.hex()} to {page.nodes[-1].key.hex()} lie outside of the separators above them: "
            f"{_hex(page.low)} to {_hex(page.high)}",
        )


def _as_integer(key: bytes) -> bytes:
    """A little-endian number as bytes that compare like it."""
    return key[::-1]


def _hex(key: bytes | None) -> str:
    return "open" if key is None else key.hex()
