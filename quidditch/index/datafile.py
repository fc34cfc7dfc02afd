"""What can be known of an environment's data file before LMDB maps it: is it there, is it whole, can it be read."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

from quidditch.errors import CorruptIndex, FormatTooNew, FormatTooOld, StorageError
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE, Buffer
from quidditch.index.seals import SEALED_SINCE
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
    """What table `meta` says of its environment's format: JSON that every release can read, with a checksum."""
    record = {"magic": MAGIC, "format": FORMAT_VERSION, "writer": __version__}
    return json.dumps({**record, "crc32": _crc32(record)}).encode()


def _crc32(record: dict[str, Any]) -> int:
    return zlib.crc32(f"{record['magic']} {record['format']} {record['writer']}".encode())


def check_format(path: Path, record: Buffer | None) -> int:
    """The format version that the record names.

    raises: CorruptIndex, FormatTooOld, FormatTooNew
    """
    try:
        found = json.loads(bytes(record or b""))
        version = int(found["format"])
        if found["magic"] != MAGIC:
            raise ValueError(found["magic"])
        if SEALED_SINCE <= version <= FORMAT_VERSION and found["crc32"] != _crc32(found):
            raise ValueError("checksum")
        if version < SEALED_SINCE and "crc32" in found:
            raise ValueError("checksum")
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
    return version


_META_MAGIC = 0xBEEFC0DE
_META_PAGE = struct.Struct("<16xIIQQI44x48xQQ")
"""An LMDB meta page on a 64-bit little-endian machine: page header, magic, version, address, map size, page
size (the first words of the free list's record), the main tree's record, last page, transaction."""


_META_TRIES = 5
"""How often a file is looked at again because a writer changed it meanwhile."""


def check_file_size(file: Path) -> None:
    """Refuse a data file that ends before a page which its newest tree reaches: LMDB would map it and die of SIGBUS.

    A shorter file than the meta page says is sound while only free pages lie past its end: LMDB counts pages
    that a transaction took and gave back without ever writing them. All pages are walked to know, which takes
    some seconds a gigabyte; whoever commits makes the file long enough, so this is rare.
    raises: CorruptIndex   truncated, or no LMDB file at all
    """
    try:
        for _ in range(_META_TRIES):
            page_bytes, last_page, transaction = _newest_meta(file)
            # Asked last: a writer may be growing the file, and never shrinks it.
            size, expected = file.stat().st_size, (last_page + 1) * page_bytes
            if size >= expected or not damages(file):
                return
            if _newest_meta(file)[2] == transaction:
                break
    except PermissionError as error:
        raise StorageError(f"{file}: no permission to read it") from error
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from error
    raise CorruptIndex(
        f"{file}: truncated: {size:,} bytes on disk, {expected:,} expected; restore it from a backup"
    )


def newest_transaction(file: Path) -> int:
    """The last commit that a file holds."""
    return _newest_meta(file)[2]


def damages(file: Path) -> list[str]:
    """What is wrong with the pages of a data file, in words; nothing for a sound one.

    Every page is walked without LMDB's engine, so no damage can crash the process. The file must be at rest.
    """
    from lmdb import verify

    try:
        found: list[str] = verify.verify(str(file), subdir=False)  # type: ignore[no-untyped-call]
        return found
    except verify.VerifyError as error:
        return [str(error)]


def _newest_meta(file: Path) -> tuple[int, int, int]:
    """(page size, last page, transaction) of the newer meta page."""
    with file.open("rb") as stream:
        first = _parse_meta(file, stream.read(_META_PAGE.size))
        stream.seek(first[0])
        second = _parse_meta(file, stream.read(_META_PAGE.size))
    return max(first, second, key=lambda meta: meta[2])


def _parse_meta(file: Path, page: bytes) -> tuple[int, int, int]:
    """(page size, last page, transaction) of a meta page."""
    if len(page) < _META_PAGE.size:
        raise CorruptIndex(f"{file}: truncated: too few bytes for an LMDB file")
    magic, _, _, _, page_bytes, last_page, transaction = _META_PAGE.unpack(page)
    if magic != _META_MAGIC:
        raise CorruptIndex(f"{file}: not an LMDB file, or its first pages are damaged")
    return page_bytes, last_page, transaction
