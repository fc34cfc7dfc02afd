"""A search engine in one import: BM25, filters, phrases and updates on a directory, in this process.

import quidditch

db = quidditch.connect("./data")
books = db.create_index("books")
books.add({"title": "Dune", "year": 1965})
for hit in books.search("dune"):
    print(hit.score, hit["title"])
"""

from __future__ import annotations

from quidditch import query
from quidditch.errors import (
    CorruptIndex,
    DocumentError,
    DocumentNotFound,
    FormatTooNew,
    FormatTooOld,
    IndexExists,
    IndexNotFound,
    InternalError,
    LimitExceeded,
    MappingError,
    QueryError,
    QuidditchError,
    RequestError,
    StorageError,
    StoreFull,
    StoreLocked,
    VersionConflict,
)
from quidditch.interface import (
    BulkItem,
    BulkResult,
    Database,
    Document,
    Explanation,
    Hit,
    Index,
    IndexStats,
    SearchResult,
    WriteResult,
)
from quidditch.local import connect
from quidditch.version import __version__

__all__ = [
    "BulkItem",
    "BulkResult",
    "CorruptIndex",
    "Database",
    "Document",
    "DocumentError",
    "DocumentNotFound",
    "Explanation",
    "FormatTooNew",
    "FormatTooOld",
    "Hit",
    "Index",
    "IndexExists",
    "IndexNotFound",
    "IndexStats",
    "InternalError",
    "LimitExceeded",
    "MappingError",
    "QueryError",
    "QuidditchError",
    "RequestError",
    "SearchResult",
    "StorageError",
    "StoreFull",
    "StoreLocked",
    "VersionConflict",
    "WriteResult",
    "__version__",
    "connect",
    "query",
]
