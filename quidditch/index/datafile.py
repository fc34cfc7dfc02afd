"""What can be known of an environment's data file before LMDB maps it: is it there, is it whole, can it be read."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from quidditch.errors import CorruptIndex, FormatTooNew, FormatTooOld, StorageError
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE, Buffer
from quidditch.version import __version__

MAGIC = "quidditch"


def is_file(path: Path) -> bool:
    """Whether there is such a file.

    raises: StorageError   where the directories above it may not be looked into
    """
    try:
        return path.stat().st_size >= 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path}: no permission to look: {error.strerror}") from error


def format_record() -> bytes:
    return json.dumps({"magic": MAGIC, "format": FORMAT_VERSION, "writer": __version__}).encode()


def check_format(path: Path, record: Buffer | None) -> None:
    """Three ways to fail: no format record, a format too old, a format too new."""
    try:
        found = json.loads(bytes(record or b""))
        version = int(found["format"])
        if found["magic"] != MAGIC:
            raise ValueError(found["magic"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptIndex(f"{path}: the format record is missing or unreadable") from error
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"{path}: written in format {version} by release {found.get('writer')}; this release "
            f"({__version__}) reads formats {OLDEST_READABLE} to {FORMAT_VERSION}: install a newer one"
        )
    if version < OLDEST_READABLE:
        raise FormatTooOld(
            f"{path}: written in format {version}; this release reads {OLDEST_READABLE} to {FORMAT_VERSION}"
        )


_META_MAGIC = 0xBEEFC0DE
_META_PAGE = struct.Struct("<16xIIQQI44x48xQQ")
"""An LMDB meta page on a 64-bit little-endian machine: page header, magic, version, address, map size, page
size (the first words of the free list's record), the main tree's record, last page, transaction."""


def check_file_size(file: Path) -> None:
    """Refuse a data file shorter than its newest meta page says: LMDB would map it and die of SIGBUS.

    raises: CorruptIndex   truncated, or no LMDB file at all
    """
    try:
        with file.open("rb") as stream:
            first = stream.read(_META_PAGE.size)
            newest = _parse_meta(file, first)
            stream.seek(newest[0])
            second = stream.read(_META_PAGE.size)
            newest = max(newest, _parse_meta(file, second), key=lambda meta: meta[2])
        # Asked last: a writer may be growing the file, and never shrinks it.
        size = file.stat().st_size
    except PermissionError as error:
        raise StorageError(f"{file}: no permission to read it") from error
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from error
    page_bytes, last_page, _ = newest
    expected = (last_page + 1) * page_bytes
    if size < expected:
        raise CorruptIndex(
            f"{file}: truncated: {size:,} bytes on disk, {expected:,} expected; restore it from a backup"
        )


def _parse_meta(file: Path, page: bytes) -> tuple[int, int, int]:
    """(page size, last page, transaction) of a meta page."""
    if len(page) < _META_PAGE.size:
        raise CorruptIndex(f"{file}: truncated: too few bytes for an LMDB file")
    magic, _, _, _, page_bytes, last_page, transaction = _META_PAGE.unpack(page)
    if magic != _META_MAGIC:
        raise CorruptIndex(f"{file}: not an LMDB file, or its first pages are damaged")
    return page_bytes, last_page, transaction
