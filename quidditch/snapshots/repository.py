"""A repository of snapshots: a directory, and the files in it. Knows no network.

    repository.json          that this is one, and its format
    lock                     held for moments, by whoever begins, publishes or deletes
    NAME/manifest.json       a `Manifest`: what the snapshot holds, and the digest of every file
    NAME/UUID-NUMBER.zst     a shard: the LMDB file of one copy as of one commit, packed by zstd
    making-ID/               a snapshot that is being written; renamed to NAME once it is whole

A snapshot is there as soon as its folder has its name, and not before: whoever is killed leaves a `making-ID`, which
the next one to write sweeps, as its lock is free then. A shard that has not changed is the same file under two names.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import zstandard

from quidditch.errors import (
    CorruptIndex,
    DocumentNotFound,
    QuidditchError,
    RequestError,
    StorageError,
    StoreFull,
)
from quidditch.index.opening import sync_directory
from quidditch.schema.mapping import nearest

FORMAT = 1
"""Of a repository and its manifests. A process refuses what is newer."""

PIECE_BYTES = 1 << 20
LEVEL = 1
"""Of zstd: more of it halves the speed, and saves a tenth."""

MANIFEST, MARKER, LOCK, MAKING = "manifest.json", "repository.json", "lock", "making-"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_FILE = re.compile(r"[0-9a-f]{32}-[0-9]+\.zst")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SnapshotNotFound(DocumentNotFound):
    """The repository has no snapshot of this name."""

    type = "snapshot_missing_exception"


class SnapshotExists(RequestError):
    """A snapshot of this name is already there."""

    type = "invalid_snapshot_name_exception"


class ShardFile(msgspec.Struct, frozen=True):
    """A shard in a snapshot.

    size_bytes:  of the file as it lies there; `plain_bytes`: of the LMDB file in it
    blake2b:     its digest, of 32 bytes, in hexadecimal
    log, applied: the log that the copy followed, and up to where at least
    exact:       nothing was written while it was copied: it is at `applied`, and the same log at the same place
                 is the same shard
    documents:   when the copy began
    """

    file: str
    size_bytes: int
    plain_bytes: int
    blake2b: str
    log: str = ""
    applied: int = 0
    exact: bool = False
    documents: int = 0


class IndexPart(msgspec.Struct, frozen=True):
    """An index in a snapshot."""

    uuid: str
    settings: dict[str, Any]
    mappings: dict[str, Any]
    shards: list[ShardFile]
    aliases: dict[str, dict[str, Any]] = {}
    created_ms: int = 0


class Manifest(msgspec.Struct, frozen=True):
    """What a snapshot holds. Times are milliseconds since 1970."""

    name: str
    id: str
    cluster: str
    quidditch: str
    started_ms: int
    ended_ms: int
    indices: dict[str, IndexPart]
    templates: dict[str, dict[str, Any]] = {}
    format: int = FORMAT

    def files(self) -> Iterator[tuple[str, int, ShardFile]]:
        """Index, number and file of every shard."""
        for name, part in self.indices.items():
            for number, file in enumerate(part.shards):
                yield name, number, file

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for _, _, file in self.files())


class Repository:
    """The snapshots in a directory. Several processes may have it open, on a file system that has `flock`."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """create:  make it where there is nothing yet

        raises: RequestError   it is no repository; StorageError   of a newer format, or not to be read
        """
        self.path = path
        with in_words(path):
            if create:
                self._create()
            if not (path / MARKER).is_file():
                raise RequestError(f"{path}: no repository of snapshots")
            told = _decoded(path / MARKER, (path / MARKER).read_bytes(), dict[str, Any])
        if told.get("format", 0) > FORMAT:
            raise StorageError(
                f"{path}: a repository of format {told['format']}; this release knows {FORMAT}: upgrade it"
            )

    def _create(self) -> None:
        if (self.path / MARKER).exists():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        if any(each.name != LOCK for each in self.path.iterdir()):
            raise RequestError(f"{self.path}: holds other files; a repository has a directory of its own")
        with self._locked():
            _write_synced(self.path / MARKER, msgspec.json.encode({"format": FORMAT}))

    # --------------------------------------------------------------------------------------------- reading

    def names(self) -> list[str]:
        """The snapshots there are, oldest first."""
        with in_words(self.path):
            found = [each.name for each in self.path.iterdir() if (each / MANIFEST).is_file()]
        kept = [name for name in found if _NAME.fullmatch(name) and not name.startswith(MAKING)]
        return sorted(kept, key=lambda name: (self._started_ms(name), name))

    def _started_ms(self, name: str) -> int:
        """When it was begun; 0 of one whose manifest cannot be read, which shall not hide the others."""
        with suppress(QuidditchError):
            return self.manifest(name).started_ms
        return 0

    def manifest(self, name: str) -> Manifest:
        """raises: SnapshotNotFound, CorruptIndex"""
        path = self.path / check_snapshot_name(name) / MANIFEST
        try:
            with in_words(path):
                found: Manifest = _decoded(path, path.read_bytes(), Manifest)
        except FileNotFoundError:
            raise SnapshotNotFound(f"no snapshot [{name}] in {self.path}") from None
        if found.format > FORMAT:
            raise StorageError(f"{path}: of format {found.format}; this release knows {FORMAT}: upgrade it")
        if found.name != name:
            raise CorruptIndex(f"{path}: is the manifest of snapshot [{found.name}]")
        for _, _, shard in found.files():
            # Whoever can write a manifest shall not have other files of this machine read.
            if _FILE.fullmatch(shard.file) is None:
                raise CorruptIndex(f"{path}: names {shard.file!r}, which is no file of a snapshot")
        return found

    def file(self, name: str, shard: ShardFile) -> Path:
        return self.path / name / shard.file

    def damages(self, name: str, indices: Iterable[str] | None = None) -> list[str]:
        """What is wrong with the files of a snapshot, in words that name them; every byte is read."""
        manifest = self.manifest(name)
        wanted = set(manifest.indices if indices is None else indices)
        found = ((index, number, file) for index, number, file in manifest.files() if index in wanted)
        checked = (self._damage(name, index, number, file) for index, number, file in found)
        return [words for words in checked if words]

    def _damage(self, name: str, index: str, number: int, shard: ShardFile) -> str:
        path = self.file(name, shard)
        try:
            size_bytes, digest = digest_of(path)
        except OSError as error:
            return f"{path}, shard {number} of index [{index}]: {error.strerror or error}"
        if (size_bytes, digest) == (shard.size_bytes, shard.blake2b):
            return ""
        return (
            f"{path}, shard {number} of index [{index}]: {size_bytes} bytes with digest {digest[:16]} are there, and "
            f"{shard.size_bytes} bytes with {shard.blake2b[:16]} were written"
        )

    # --------------------------------------------------------------------------------------------- writing

    @contextmanager
    def making(self, name: str) -> Iterator[Making]:
        """A snapshot being made, which leaves nothing unless it is published.

        raises: SnapshotExists, StoreFull, StorageError
        """
        check_snapshot_name(name)
        folder = self.path / f"{MAKING}{uuid.uuid4().hex}"
        with in_words(self.path):
            with self._locked():
                self._check_free(name)
                self._sweep()
                folder.mkdir()
                held = _held(folder / LOCK)
            if held is None:
                raise StorageError(f"{folder}: somebody else has locked it")
            try:
                yield Making(self, name, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                held.close()

    def _check_free(self, name: str) -> None:
        if (self.path / name).exists():
            raise SnapshotExists(f"snapshot [{name}] is already there in {self.path}")

    def _sweep(self) -> None:
        """Remove what killed processes left; those that live hold the lock of their folder."""
        for folder in self.path.glob(f"{MAKING}*"):
            held = _held(folder / LOCK)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                held.close()

    def publish(self, name: str, folder: Path) -> None:
        """Give a folder that is whole its name. raises: SnapshotExists   another one was faster"""
        with self._locked():
            self._check_free(name)
            os.unlink(folder / LOCK)
            sync_directory(folder)
            os.rename(folder, self.path / name)
            sync_directory(self.path)

    def delete(self, name: str) -> None:
        """raises: SnapshotNotFound"""
        if not (self.path / check_snapshot_name(name) / MANIFEST).is_file():
            raise SnapshotNotFound(f"no snapshot [{name}] in {self.path}{nearest(name, self.names())}")
        # Without its name it is no snapshot any more: half of one is never seen.
        doomed = self.path / f"{MAKING}{uuid.uuid4().hex}"
        with in_words(self.path), self._locked():
            os.rename(self.path / name, doomed)
            sync_directory(self.path)
            shutil.rmtree(doomed, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what killed processes left; how many bytes that were."""
        with in_words(self.path), self._locked():
            before = _bytes_in(self.path.glob(f"{MAKING}*"))
            self._sweep()
            return before - _bytes_in(self.path.glob(f"{MAKING}*"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Making:
    """A snapshot that is being written."""

    def __init__(self, repository: Repository, name: str, folder: Path) -> None:
        self._repository = repository
        self.name = name
        self._folder = folder

    def link(self, shard: ShardFile, snapshot: str) -> bool:
        """Take a file of another snapshot as it is; False where it is damaged or gone: damage is not inherited."""
        source = self._repository.file(snapshot, shard)
        try:
            if digest_of(source) != (shard.size_bytes, shard.blake2b):
                return False
        except OSError:
            return False
        try:
            os.link(source, self._folder / shard.file)
        except OSError:
            shutil.copyfile(source, self._folder / shard.file)
        return True

    def writing(self, file: str) -> PackedFile:
        return PackedFile(self._folder / file)

    def publish(self, manifest: Manifest) -> None:
        """Read every file again, and give the snapshot its name.

        raises: CorruptIndex   the disk does not hold what was written; SnapshotExists
        """
        for index, number, shard in manifest.files():
            if digest_of(self._folder / shard.file) != (shard.size_bytes, shard.blake2b):
                raise CorruptIndex(
                    f"snapshot [{self.name}]: shard {number} of index [{index}] reads otherwise than it was written"
                )
        _write_synced(self._folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        self._repository.publish(self.name, self._folder)


class PackedFile:
    """A file that is written packed, with its sizes and digest; a context manager, synced at its end."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._packing = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._digest = hashlib.blake2b(digest_size=32)
        self.size_bytes = 0
        self.plain_bytes = 0

    def write(self, piece: bytes) -> None:
        self.plain_bytes += len(piece)
        self._put(self._packing.compress(piece))

    def _put(self, packed: bytes) -> None:
        self._digest.update(packed)
        self.size_bytes += len(packed)
        self._file.write(packed)

    def finish(self) -> None:
        """All of it is written: sync it."""
        self._put(self._packing.flush())
        self._file.flush()
        os.fsync(self._file.fileno())

    @property
    def blake2b(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()


def unpack(source: Path, target: Path) -> None:
    """The LMDB file of a shard's file, synced. raises: CorruptIndex, StoreFull, StorageError"""
    with in_words(source), source.open("rb") as packed, target.open("wb") as plain:
        try:
            zstandard.ZstdDecompressor().copy_stream(packed, plain, write_size=PIECE_BYTES)
        except zstandard.ZstdError as error:
            raise CorruptIndex(f"{source}: is no whole file of a snapshot: {error}") from error
        plain.flush()
        os.fsync(plain.fileno())


def pieces_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def digest_of(path: Path) -> tuple[int, str]:
    """Size and digest of a file as it lies there."""
    size_bytes, digest = 0, hashlib.blake2b(digest_size=32)
    for piece in pieces_of(path):
        size_bytes += len(piece)
        digest.update(piece)
    return size_bytes, digest.hexdigest()


def check_snapshot_name(name: object) -> str:
    """raises: RequestError   no snapshot can be called so"""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or name.startswith(MAKING):
        raise RequestError(
            f"snapshot name [{str(name)[:80]}]: 1 to 200 of a-z, 0-9, dot, hyphen and underscore expected, a "
            f"letter or digit first, and not [{MAKING}]"
        )
    if name in (MARKER, LOCK):
        raise RequestError(f"snapshot name [{name}]: is a file of every repository")
    return name


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Errors of the file system as ours; a file that is not there stays a FileNotFoundError."""
    try:
        yield
    except (QuidditchError, FileNotFoundError):
        raise
    except OSError as error:
        kind = StoreFull if error.errno in _FULL else StorageError
        raise kind(f"{error.filename or path}: {error.strerror or error}") from error


def _held(path: Path) -> BinaryIO | None:
    """The file, locked; None where another process has it, or it is not there any more."""
    try:
        file = path.open("ab")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _write_synced(path: Path, data: bytes) -> None:
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync_directory(path.parent)


def _decoded(path: Path, data: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"{path}: is unreadable: {error}") from error


def _bytes_in(folders: Iterable[Path]) -> int:
    return sum(each.stat().st_size for folder in folders for each in folder.rglob("*") if each.is_file())
