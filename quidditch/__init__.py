"""A search engine in one import: BM25, filters, phrases and updates on a directory, in this process.

import quidditch

db = quidditch.connect("./data")
books = db.create_index("books")
books.add({"title": "Dune", "year": 1965})
for hit in books.search("dune"):
    print(hit.score, hit["title"])
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from quidditch import query
from quidditch.errors import (
    AccessDenied,
    AuthenticationFailed,
    CorruptIndex,
    DocumentError,
    DocumentNotFound,
    FieldError,
    FormatTooNew,
    FormatTooOld,
    IndexBlocked,
    IndexClosed,
    IndexExists,
    IndexNotFound,
    InternalError,
    LimitExceeded,
    MappingError,
    MissingLibrary,
    Overloaded,
    QueryError,
    QuidditchError,
    RequestError,
    RoutingMissing,
    ShardsFailed,
    SnapshotExpired,
    StorageError,
    StoreFull,
    StoreLocked,
    Unavailable,
    Unreachable,
    Unsupported,
    VersionConflict,
)
from quidditch.interface import (
    BulkItem,
    BulkResult,
    ByQueryResult,
    CheckReport,
    Database,
    Document,
    Explanation,
    Hit,
    Index,
    IndexInfo,
    IndexStats,
    Problem,
    SearchResult,
    StructureSize,
    WriteResult,
)
from quidditch.version import __version__

if TYPE_CHECKING:
    from quidditch.local import LocalDatabase
    from quidditch.remote import RemoteDatabase

__all__ = [
    "AccessDenied",
    "AuthenticationFailed",
    "BulkItem",
    "BulkResult",
    "ByQueryResult",
    "CheckReport",
    "CorruptIndex",
    "Database",
    "Document",
    "DocumentError",
    "DocumentNotFound",
    "Explanation",
    "FieldError",
    "FormatTooNew",
    "FormatTooOld",
    "Hit",
    "Index",
    "IndexBlocked",
    "IndexClosed",
    "IndexExists",
    "IndexInfo",
    "IndexNotFound",
    "IndexStats",
    "InternalError",
    "LimitExceeded",
    "MappingError",
    "MissingLibrary",
    "Overloaded",
    "Problem",
    "QueryError",
    "QuidditchError",
    "RequestError",
    "RoutingMissing",
    "SearchResult",
    "ShardsFailed",
    "SnapshotExpired",
    "StorageError",
    "StoreFull",
    "StoreLocked",
    "StructureSize",
    "Unavailable",
    "Unreachable",
    "Unsupported",
    "VersionConflict",
    "WriteResult",
    "__version__",
    "check",
    "connect",
    "query",
]


@overload
def connect(
    location: Path,
    *,
    readonly: bool = False,
    create: bool = True,
    write_timeout_s: float = 60.0,
    verify: bool = False,
    **options: Any,
) -> LocalDatabase: ...


@overload
def connect(
    location: str | Path,
    *,
    readonly: bool = False,
    create: bool = True,
    write_timeout_s: float = 60.0,
    verify: bool = False,
    **options: Any,
) -> Database: ...


def connect(
    location: str | Path,
    *,
    readonly: bool = False,
    create: bool = True,
    write_timeout_s: float = 60.0,
    verify: bool = False,
    **options: Any,
) -> Database:
    """A database in a directory, made if it is not there; `":memory:"` is one that vanishes on close.

    readonly:         writes nothing; works on read-only media, and on files owned by others: where LMDB's lock file
                      cannot be written either, nobody may be writing meanwhile
    create:           False refuses a directory that is not there yet
    write_timeout_s:  how long a write waits for another process's before it raises StoreLocked
    verify:           check everything on disk first, as `check(deep=False)` does; CorruptIndex names what is damaged
    options:          memory_bytes (indexing stays below, 512 MiB), cache_bytes (searches keep decoded, 256 MiB),
                      map_size_bytes (the most an index may take on disk, 64 GiB),
                      keep_alive_s (how long a scan may lie unused, 300),
                      allow_network_files (write on a network file system nevertheless: see docs/durability.md)

    Connecting twice to one path in a process gives two handles on the same environment, which keeps the options
    of the first.
    raises: RequestError, StorageError, CorruptIndex, FormatTooNew, FormatTooOld
    """
    given: dict[str, Any] = {
        "readonly": readonly,
        "create": create,
        "write_timeout_s": write_timeout_s,
        "verify": verify,
        **options,
    }
    if isinstance(location, str) and location.lower().startswith(("http://", "https://")):
        return _connect_server(location, given)
    # The engine is loaded by the first connection, so that whoever imports a query or an error alone pays for that.
    from quidditch.local import connect as open_directory

    return open_directory(location, **given)


def _connect_server(url: str, given: dict[str, Any]) -> RemoteDatabase:
    try:
        from quidditch.remote import connect as open_server
    except ImportError as error:
        if error.name not in ("httpx", "anyio"):
            raise
        raise MissingLibrary(
            "a server is reached by httpx, which is not installed: pip install 'quidditch[client]'"
        ) from error
    return open_server(url, **given)


def check(
    location: str | Path, index: str | None = None, *, deep: bool = True, progress: bool = False
) -> CheckReport:
    """Verify a directory, or one index of it, without trusting a byte of it: what may be damaged is not opened before
    its pages have been walked.

    deep:      analyse the stored documents anew too, and compare; takes about as long as indexing did
    progress:  draw a bar, on a terminal
    Writers of other processes wait while pages are walked, some seconds a gigabyte; readers go on.
    raises: IndexNotFound, StorageError, StoreLocked. What is damaged is no error: the report says it
    """
    from quidditch.local import check_location

    return check_location(location, index, deep=deep, progress=progress)
