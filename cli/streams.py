"""A file or standard input as plain bytes: decompressed, without a byte order mark, counted as it is read."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

import zstandard
from rapidfuzz import process

from .failures import CommandError, NothingFound

STDIN = "-"
PEEK_BYTES = 4096
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
COMPRESSED_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# One packed byte may expand to many thousand, so what is fed at once bounds what comes back.
_FEED_BYTES = 16 * 1024


class BrokenInput(CommandError):
    """An input cannot be read to its end; what came before the break is good."""


@dataclass(slots=True)
class Input:
    """An open input: its name, the plain bytes, their beginning, and how far the file has been read."""

    name: str
    stream: io.BufferedReader
    head: bytes
    counter: CountingReader

    @property
    def read_bytes(self) -> int:
        return self.counter.count


class CountingReader(io.RawIOBase):
    """A raw stream that counts the bytes taken from another: progress is told in bytes of the file."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        data = self._source.read(len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)


class _Decompressor(Protocol):
    """One frame being unpacked, as zlib and zstandard both have it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip_frame() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd_frame() -> _Decompressor:
    return cast(_Decompressor, zstandard.ZstdDecompressor().decompressobj())


class _PlainReader(io.RawIOBase):
    """Plain bytes of concatenated frames, handed on as they come, so that a break loses none before it.

    raises: EOFError   from reading, when the file ends inside a frame
    """

    def __init__(self, source: BinaryIO, new_frame: Callable[[], _Decompressor]) -> None:
        super().__init__()
        self._source = source
        self._new_frame = new_frame
        self._frame = new_frame()
        self._inside = False
        self._plain = memoryview(b"")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        while not self._plain:
            packed = self._rest or self._source.read(_FEED_BYTES)
            self._rest = b""
            if not packed:
                if self._inside:
                    raise EOFError("the compressed file is cut off")
                return 0
            self._plain = memoryview(self._decompress(packed))
        size = min(len(view), len(self._plain))
        view[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size

    def _decompress(self, packed: bytes) -> bytes:
        self._inside = True
        plain = self._frame.decompress(packed)
        if self._frame.eof:
            self._rest = self._frame.unused_data
            self._frame = self._new_frame()
            self._inside = False
        return plain


READ_ERRORS = (EOFError, OSError, zlib.error, zstandard.ZstdError)
"""What a damaged or unreadable input raises while it is read."""


def check_file(name: str) -> int | None:
    """The size in bytes of an input, None where it cannot be known (standard input, a pipe).

    raises: NothingFound   when there is no such file
            CommandError   when it is a directory or may not be read
    """
    if name == STDIN:
        return None
    path = Path(name)
    if path.is_dir():
        raise CommandError(f"{name} is a directory; name the files in it, as in {name.rstrip('/')}/*.jsonl")
    try:
        with path.open("rb"):
            return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        raise NothingFound(f"there is no file {name}{_nearest_file(path)}") from None
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror or error}") from error


def _nearest_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return f": there is no directory {path.parent} either"
    found = process.extractOne(path.name, names, score_cutoff=75)
    return f"; did you mean {path.parent / found[0]}?" if found else ""


@contextmanager
def open_input(name: str) -> Iterator[Input]:
    """An input ready to be read, whatever its compression, told by its first bytes.

    raises: BrokenInput   when even its beginning cannot be read
    """
    raw: IO[bytes] = sys.stdin.buffer if name == STDIN else Path(name).open("rb")  # noqa: SIM115 - closed below
    try:
        counter = CountingReader(raw)
        shown = "<stdin>" if name == STDIN else name
        try:
            stream = _plain(io.BufferedReader(counter, 1 << 20), name)
            head = peek(stream)
        except READ_ERRORS as error:
            raise BrokenInput(f"{shown}: {broken(error)}") from error
        if head.startswith(BYTE_ORDER_MARK):
            stream.read(len(BYTE_ORDER_MARK))
            head = peek(stream)
        yield Input(shown, stream, head, counter)
    finally:
        if name != STDIN:
            raw.close()


def peek(stream: io.BufferedReader) -> bytes:
    """The next bytes without taking them: a few thousand, fewer only where the stream is that short."""
    return stream.peek(PEEK_BYTES)[:PEEK_BYTES]


def _plain(stream: io.BufferedReader, name: str) -> io.BufferedReader:
    head = stream.peek(4)[:4]
    if head.startswith(GZIP_MAGIC):
        return io.BufferedReader(_PlainReader(stream, _gzip_frame), 1 << 20)
    if head.startswith(ZSTD_MAGIC):
        return io.BufferedReader(_PlainReader(stream, _zstd_frame), 1 << 20)
    suffix = Path(name).suffix.lower()
    if suffix in COMPRESSED_SUFFIXES and head:
        raise EOFError(f"the name ends in {suffix} and the content is not compressed that way")
    return stream


def broken(error: BaseException) -> str:
    """Why reading an input came to an end before the input did."""
    if isinstance(error, EOFError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged compressed data ({error})"
