"""The contracts: what people call (`Database`, `Index`), what a search runs on (`Shard`), and their records.

A directory, a server and a cluster implement the same two sets of contracts. `Index` is for people: documents in,
hits out. `Shard` is for the engine: statistics, query, fetch. `search/phases.py` runs over any sequence of shards
and cannot tell where they live.

What a page holds a thousand times is a msgspec struct: made in a tenth of a dataclass's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, Self, TypeAlias, runtime_checkable

import msgspec

from quidditch import tables
from quidditch.errors import FailedShard
from quidditch.query import Query
from quidditch.query.primitive import Primitive
from quidditch.types import DocAddress, Json, OpName, Outcome

if TYPE_CHECKING:
    from quidditch.snapshots.repository import Manifest, Repository
    from quidditch.snapshots.wish import Wish

Source: TypeAlias = dict[str, Any]
"""A document as it was given."""

QueryLike: TypeAlias = Query | dict[str, Any] | str | None
"""A query object, a clause of the Query DSL, a plain string as typed into a search box, or None for everything."""

FilterLike: TypeAlias = QueryLike | list[QueryLike] | tuple[QueryLike, ...]
"""One filter, or several that must all match."""


# ---------------------------------------------------------------------------------------------- write records


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What one write did: the document's id, its version and sequence number after it, and the outcome."""

    id: str
    version: int
    seq_no: int
    result: Outcome
    primary_term: int = 1


@dataclass(frozen=True, slots=True)
class BulkItem:
    """What became of one action of a bulk: the REST status, and the outcome or the error, never both.

    `position` counts the actions from 0; `error` reads like the exception a single call would have raised, and
    `error_type` is that exception's REST type.
    """

    position: int
    op: OpName
    id: str | None
    status: int
    result: Outcome | None = None
    error: str | None = None
    error_type: str | None = None
    version: int | None = None
    seq_no: int | None = None
    index: str | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of every action: `items` in the order given, `errors` only the failed, `ok` how many succeeded.

    `add_many` over a stream keeps no record of each success (memory is bounded): there `items` holds the failed
    ones alone, and `ok` counts the rest. It is true when nothing failed.
    """

    items: Sequence[BulkItem]
    ok: int
    took_ms: int = 0

    @property
    def errors(self) -> list[BulkItem]:
        return [item for item in self.items if item.error is not None]

    def __bool__(self) -> bool:
        return not self.errors


@dataclass(frozen=True, slots=True)
class ByQueryResult:
    """What became of the documents that matched a query: `total` of them were found.

    version_conflicts:  changed by another writer meanwhile, and left as they are
    failures:           refused for another reason
    """

    total: int
    deleted: int = 0
    updated: int = 0
    version_conflicts: int = 0
    batches: int = 0
    failures: Sequence[BulkItem] = ()
    took_ms: int = 0


class _ReadsSource:
    """What holds a document reads like it: `found["title"]`, `"title" in found`, `dict(found)`."""

    __slots__ = ()

    source: Source

    def __getitem__(self, key: str) -> Any:
        return self.source[key]

    def __contains__(self, key: object) -> bool:
        return key in self.source

    def __iter__(self) -> Iterator[str]:
        return iter(self.source)

    def keys(self) -> KeysView[str]:
        return self.source.keys()

    def get(self, key: str, default: Any = None) -> Any:
        return self.source.get(key, default)


@dataclass(frozen=True, slots=True)
class Document(_ReadsSource):
    """One document by its id; `doc["title"]` reads the source. `routing` is what it was written with."""

    id: str
    source: Source
    version: int
    seq_no: int
    primary_term: int = 1
    routing: str | None = None


# ---------------------------------------------------------------------------------------------- read records


@dataclass(frozen=True, slots=True)
class Explanation:
    """A number, what it is, and the numbers it was made of."""

    value: float
    description: str
    details: tuple[Explanation, ...] = ()

    def to_dict(self) -> dict[str, Json]:
        return {
            "value": self.value,
            "description": self.description,
            "details": [detail.to_dict() for detail in self.details],
        }

    def __str__(self) -> str:
        """The tree as indented text."""
        own = f"{self.value:.9g} = {self.description}"
        rows = [f"  {row}" for detail in self.details for row in str(detail).splitlines()]
        return "\n".join([own, *rows])


class Hit(_ReadsSource, msgspec.Struct, frozen=True):
    """One result. `hit["title"]` reads the source.

    `score` is None when the search was sorted by fields alone; `sort` are the values it was sorted by; `fields`,
    `version`, `seq_no` and `primary_term` are there where they were asked for, `routing` where the document has one.
    """

    id: str
    score: float | None
    source: Source = {}
    index: str = ""
    highlight: dict[str, list[str]] = {}
    sort: tuple[Json, ...] = ()
    fields: dict[str, list[Json]] = {}
    explanation: Explanation | None = None
    has_source: bool = True
    version: int | None = None
    seq_no: int | None = None
    primary_term: int | None = None
    routing: str | None = None

    def to_dict(self) -> dict[str, Json]:
        """The hit as OpenSearch renders it."""
        body: dict[str, Json] = {"_index": self.index, "_id": self.id}
        if self.version is not None:
            body["_version"] = self.version
        if self.seq_no is not None:
            body |= {"_seq_no": self.seq_no, "_primary_term": self.primary_term}
        body["_score"] = self.score
        if self.routing is not None:
            body["_routing"] = self.routing
        if self.has_source:
            body["_source"] = self.source
        if self.fields:
            body["fields"] = self.fields
        if self.highlight:
            body["highlight"] = self.highlight
        if self.sort:
            body["sort"] = list(self.sort)
        if self.explanation is not None:
            body["_explanation"] = self.explanation.to_dict()
        return body


@dataclass(frozen=True, slots=True)
class Shards:
    """How many shards a search asked, how many answered, and why the others did not."""

    total: int = 1
    successful: int = 1
    skipped: int = 0
    failed: int = 0
    failures: tuple[FailedShard, ...] = ()

    @classmethod
    def of(cls, total: int, failures: Sequence[FailedShard] = ()) -> Shards:
        return cls(total, total - len(failures), 0, len(failures), tuple(failures))

    @classmethod
    def sum(cls, several: Iterable[Shards]) -> Shards:
        """Those of searches that make one answer."""
        parts = list(several)
        return cls(
            sum(part.total for part in parts),
            sum(part.successful for part in parts),
            sum(part.skipped for part in parts),
            sum(part.failed for part in parts),
            tuple(failure for part in parts for failure in part.failures),
        )

    def to_dict(self) -> dict[str, Any]:
        failures = {"failures": [each.to_dict() for each in self.failures]} if self.failures else {}
        return {
            "total": self.total,
            "successful": self.successful,
            "skipped": self.skipped,
            "failed": self.failed,
            **failures,
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of hits, best first, and what is known about all the others."""

    hits: Sequence[Hit]
    total: int | None
    total_relation: Literal["eq", "gte"] = "eq"
    max_score: float | None = None
    took_ms: int = 0
    timed_out: bool = False
    shards: Shards = field(default_factory=Shards)
    aggs: dict[str, Json] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __bool__(self) -> bool:
        return bool(self.hits)

    def __getitem__(self, position: int) -> Hit:
        return self.hits[position]

    def to_dict(self) -> dict[str, Json]:
        """The exact body of an OpenSearch response."""
        hits: dict[str, Json] = {}
        if self.total is not None:
            hits["total"] = {"value": self.total, "relation": self.total_relation}
        hits["max_score"] = self.max_score
        hits["hits"] = [hit.to_dict() for hit in self.hits]
        body: dict[str, Json] = {
            "took": self.took_ms,
            "timed_out": self.timed_out,
            "_shards": self.shards.to_dict(),
            "hits": hits,
        }
        if self.aggs:
            body["aggregations"] = self.aggs
        return body

    def to_json(self) -> str:
        """`to_dict()` as JSON text."""
        return msgspec.json.encode(self.to_dict()).decode()

    def to_records(self) -> list[dict[str, Any]]:
        """One flat dict for each hit: `_id`, `_score`, then the source's own keys."""
        return [{"_id": hit.id, "_score": hit.score, **hit.source} for hit in self.hits]

    def to_arrow(self) -> Any:
        """The hits as a `pyarrow.Table`. Raises MissingLibrary without pyarrow."""
        return tables.arrow_table(self.to_records())

    def to_polars(self) -> Any:
        """The hits as a `polars.DataFrame`. Raises MissingLibrary without Polars."""
        return tables.polars_frame(self.to_records())

    def to_pandas(self) -> Any:
        """The hits as a `pandas.DataFrame`. Raises MissingLibrary without pandas."""
        return tables.pandas_frame(self.to_records())

    def _repr_html_(self) -> str:
        """The page as a table in a notebook."""
        total = "" if self.total is None else f" of {self.total:,}"
        return tables.html_table(self.to_records(), f"{len(self)}{total} hits in {self.took_ms} ms")


@dataclass(frozen=True, slots=True)
class StructureSize:
    """What one structure takes on disk.

    payload_bytes:   its rows: keys, values and checksums
    page_bytes:      the pages that its rows share
    overflow_bytes:  the pages of values past about 2,000 bytes, which have whole ones to themselves
    fields:          of `payload_bytes` those of each field, where rows belong to one
    """

    rows: int
    payload_bytes: int
    page_bytes: int
    overflow_bytes: int
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return self.page_bytes + self.overflow_bytes

    @property
    def unused_bytes(self) -> int:
        """What its pages hold beside its rows: their headers, and room that nothing fits into."""
        return max(0, self.size_bytes - self.payload_bytes)

    def to_dict(self) -> dict[str, Json]:
        return {
            "rows": self.rows,
            "size_bytes": self.size_bytes,
            "payload_bytes": self.payload_bytes,
            "page_bytes": self.page_bytes,
            "overflow_bytes": self.overflow_bytes,
            "unused_bytes": self.unused_bytes,
            "fields": dict(self.fields),
        }


@dataclass(frozen=True, slots=True)
class IndexStats:
    """How large an index is. Sizes are bytes on disk; `fields` counts distinct terms by field, per segment summed.

    free_bytes:     pages of the file that hold nothing: the next writes take them, `compact` gives them back
    open_views:     scans and points in time that this process has open; what they see is not reused meanwhile
    oldest_view_s:  how long the oldest of them has been open
    detail:         what each structure takes and each field of it, where it was asked for
    """

    documents: int
    deleted: int
    segments: int
    buffered: int
    size_bytes: int
    fields: dict[str, int]
    structures: dict[str, int] = field(default_factory=dict)
    free_bytes: int = 0
    open_views: int = 0
    oldest_view_s: float = 0.0
    detail: dict[str, StructureSize] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Json]:
        detail = (
            {"detail": {name: size.to_dict() for name, size in self.detail.items()}} if self.detail else {}
        )
        return {
            "documents": self.documents,
            "deleted": self.deleted,
            "segments": self.segments,
            "buffered": self.buffered,
            "size_bytes": self.size_bytes,
            "fields": dict(self.fields),
            "structures": dict(self.structures),
            "free_bytes": self.free_bytes,
            "open_views": self.open_views,
            "oldest_view_s": self.oldest_view_s,
            **detail,
        }


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What is known of an index beside its documents.

    uuid:        changes when an index of the same name is made anew
    created_ms:  since 1970; 0 is not known
    aliases:     its further names, each with `filter`, `index_routing`, `search_routing`, `is_write_index`
    """

    name: str
    uuid: str
    created_ms: int = 0
    closed: bool = False
    settings: dict[str, Json] = field(default_factory=dict)
    aliases: dict[str, dict[str, Json]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that a check found: its kind ("checksum", "postings", "id map", ...), the place, and in words the
    value seen and the value expected."""

    what: str
    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.what}: {self.where}: {self.words}"

    def to_dict(self) -> dict[str, Json]:
        return {"what": self.what, "where": self.where, "words": self.words}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. Of each kind at most a hundred problems are listed; a last one says how many more."""

    problems: Sequence[Problem] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Json]:
        return {"ok": self.ok, "problems": [problem.to_dict() for problem in self.problems]}


# -------------------------------------------------------------------------------------------- for people


class View(Protocol):
    """An index as it was at one moment, until it is closed."""

    name: str

    def search_body(self, body: dict[str, Json] | None, *, filter: FilterLike = None) -> SearchResult: ...

    def count(self, query: QueryLike = None) -> int: ...

    def explain(self, id: str, query: QueryLike) -> Explanation: ...

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Iterator[Hit]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Index(Protocol):
    """One index, wherever it lives."""

    @property
    def name(self) -> str: ...

    @property
    def mappings(self) -> dict[str, Json]: ...

    @property
    def settings(self) -> dict[str, Json]: ...

    def put_mappings(self, mappings: dict[str, Json]) -> None: ...

    def put_settings(self, settings: dict[str, Json], *, preserve: bool = False) -> None: ...

    def add(
        self,
        doc: Mapping[str, Any],
        id: str | None = None,
        *,
        op: Literal["index", "create"] = "index",
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        version: int | None = None,
        version_type: Literal["external", "external_gte"] = "external",
        routing: str | None = None,
    ) -> WriteResult: ...

    def add_many(
        self,
        docs: Iterable[Mapping[str, Any]],
        *,
        id_field: str | None = "_id",
        progress: bool = False,
        chunk: int | None = None,
        workers: int = 1,
    ) -> BulkResult: ...

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult: ...

    def get(self, id: str, *, routing: str | None = None) -> Document: ...

    def mget(self, ids: Sequence[str], *, routings: Sequence[str | None] = ()) -> list[Document | None]: ...

    def update(
        self,
        id: str,
        doc: Mapping[str, Any] | None = None,
        *,
        upsert: Mapping[str, Any] | None = None,
        doc_as_upsert: bool = False,
        detect_noop: bool = True,
        script: Json = None,
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        routing: str | None = None,
    ) -> WriteResult: ...

    def delete(
        self,
        id: str,
        *,
        if_seq_no: int | None = None,
        if_primary_term: int | None = None,
        version: int | None = None,
        version_type: Literal["external", "external_gte"] = "external",
        routing: str | None = None,
    ) -> WriteResult: ...

    def delete_by_query(
        self,
        query: QueryLike,
        *,
        conflicts: Literal["abort", "proceed"] = "abort",
        max_docs: int | None = None,
    ) -> ByQueryResult: ...

    def update_by_query(
        self,
        query: QueryLike = None,
        *,
        conflicts: Literal["abort", "proceed"] = "abort",
        max_docs: int | None = None,
    ) -> ByQueryResult: ...

    def search(
        self,
        query: QueryLike = None,
        *,
        size: int = 10,
        from_: int = 0,
        sort: Json = None,
        filter: FilterLike = None,
        source: Json = True,
        highlight: Json = None,
        aggs: dict[str, Json] | None = None,
        search_after: Sequence[Json] | None = None,
        track_total_hits: bool | int = True,
        explain: bool = False,
        timeout_s: float | None = None,
    ) -> SearchResult: ...

    def count(self, query: QueryLike = None) -> int: ...

    def explain(self, id: str, query: QueryLike) -> Explanation: ...

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Iterator[Hit]: ...

    def search_body(self, body: dict[str, Json] | None, *, filter: FilterLike = None) -> SearchResult: ...

    def point_in_time(self, keep_alive_s: float | None = None) -> View: ...

    def analyze(
        self, text: str, *, field: str | None = None, analyzer: str | None = None
    ) -> list[dict[str, Json]]: ...

    def refresh(self) -> None: ...

    def flush(self) -> None: ...

    def force_merge(self, max_segments: int = 1) -> None: ...

    def stats(self, *, detail: bool = False) -> IndexStats: ...

    def check(self, *, deep: bool = True, progress: bool = False) -> CheckReport: ...

    def backup(self, path: str | Path, *, progress: bool = False) -> None: ...

    def __getitem__(self, id: str) -> Document: ...

    def __iter__(self) -> NoReturn: ...

    def __contains__(self, id: object) -> bool: ...

    def __len__(self) -> int: ...


class Database(Protocol):
    """Indices by name, wherever they live."""

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> Index: ...

    def index(self, name: str) -> Index: ...

    def __getitem__(self, name: str) -> Index: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object) -> bool: ...

    def indices(self) -> list[str]: ...

    def delete_index(self, name: str) -> None: ...

    def describe(self) -> dict[str, IndexInfo]: ...

    def update_aliases(self, actions: Sequence[Json]) -> None: ...

    def open_index(self, name: str) -> None: ...

    def close_index(self, name: str) -> None: ...

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult: ...

    def search(self, index: str, body: dict[str, Json] | None = None) -> SearchResult: ...

    def check(self, *, deep: bool = True, progress: bool = False) -> CheckReport: ...

    def backup(self, path: str | Path, *, progress: bool = False) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class KeepsTemplates(Protocol):
    """A database that keeps what a server makes new indices after."""

    def templates(self) -> dict[str, dict[str, Any]]: ...

    def change_templates(
        self, alter: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]
    ) -> None: ...


class Snapshots(Protocol):
    """Repositories by name, and snapshots of a database in them."""

    def repositories(self) -> dict[str, str]:
        """The location of each, by name."""

    def register(self, name: str, location: str) -> None: ...

    def forget(self, name: str) -> None: ...

    def repository(self, name: str) -> Repository: ...

    def take(self, repository: str, name: str, indices: Sequence[str] | None) -> Manifest: ...

    def restore(self, repository: str, name: str, wish: Wish) -> dict[str, int]:
        """The number of shards of each index that was restored, by name."""


@runtime_checkable
class KeepsSnapshots(Protocol):
    """A database with snapshots of itself in repositories."""

    @property
    def snapshots(self) -> Snapshots: ...


# -------------------------------------------------------------------------------------------- for the engine


@dataclass(frozen=True, slots=True)
class FieldStats:
    """Of one field: live documents with a token in it, and the tokens they hold (increment 0 not counted)."""

    doc_count: int = 0
    sum_length_tokens: int = 0

    def __add__(self, other: FieldStats) -> FieldStats:
        return FieldStats(self.doc_count + other.doc_count, self.sum_length_tokens + other.sum_length_tokens)


@dataclass(frozen=True, slots=True)
class CollectionStats:
    """The integers that scores are made of, over live documents; summed over shards they describe the index.

    `doc_freqs` counts, by (field, term), the live documents that hold the term.
    """

    fields: dict[str, FieldStats] = field(default_factory=dict)
    doc_freqs: dict[tuple[str, bytes], int] = field(default_factory=dict)

    @staticmethod
    def total(parts: Iterable[CollectionStats]) -> CollectionStats:
        several = list(parts)
        if len(several) == 1:
            return several[0]
        fields: dict[str, FieldStats] = {}
        doc_freqs: dict[tuple[str, bytes], int] = {}
        for part in several:
            for name, stats in part.fields.items():
                fields[name] = fields.get(name, FieldStats()) + stats
            for key, doc_freq in part.doc_freqs.items():
                doc_freqs[key] = doc_freqs.get(key, 0) + doc_freq
        return CollectionStats(fields, doc_freqs)


@dataclass(frozen=True, slots=True)
class SortKey:
    """One level of a sort: `_score`, `_id`, `_doc` (order of the last write), or a field with a column."""

    field: str
    descending: bool = False
    missing_first: bool = False
    mode: Literal["min", "max"] | None = None
    missing: Json = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What a shard needs to find its best documents: everything is resolved, statistics included.

    `fields` maps each scored field to its similarity: "bm25" (norms and frequencies), "bm25_no_norms",
    "keyword", or one of these after "legacy_". `size` counts the hits wanted, offset included. Without `sort` the
    order is by score. Without `total` nobody asks how many match, and the answer may say anything.
    """

    query: Primitive
    stats: CollectionStats
    similarities: Mapping[str, str] = field(default_factory=dict)
    size: int = 10
    sort: tuple[SortKey, ...] = ()
    search_after: tuple[Json, ...] | None = None
    min_score: float | None = None
    timeout_s: float | None = None
    total: bool = True


class ShardHit(msgspec.Struct, frozen=True):
    """A document that may enter the page: its address, score (float32's value) and sort values."""

    address: DocAddress
    score: float
    sort: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A shard's best documents, best first, how many matched, and the highest score.

    `timed_out`: the time was up before all segments were searched, and the rest is missing.
    """

    hits: Sequence[ShardHit]
    total: int
    max_score: float | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class ShownField:
    """A field whose values each hit shows, dates in `format`; `from_columns`: sorted, as a column holds them."""

    path: str
    format: str | None = None
    from_columns: bool = False


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to bring home for the documents of the page."""

    source: Json = True
    highlight: Mapping[str, Json] | None = None
    explain: bool = False
    query: QueryRequest | None = None
    versions: bool = False
    fields: tuple[ShownField, ...] = ()


class Fetched(msgspec.Struct, frozen=True):
    """One document of the page, as its shard holds it."""

    id: str
    source: Source
    highlight: dict[str, list[str]]
    explanation: Explanation | None = None
    fields: dict[str, list[Json]] = {}
    version: int | None = None
    seq_no: int | None = None
    routing: str | None = None


class ShardSnapshot(Protocol):
    """One consistent view of one shard, for the phases of one search."""

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats: ...

    def query(self, request: QueryRequest) -> QueryResult: ...

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]: ...


@runtime_checkable
class Shard(Protocol):
    """A part of an index that one engine searches alone."""

    def snapshot(self, lasting: bool = False) -> AbstractContextManager[ShardSnapshot]:
        """A view of this moment; a `lasting` one may lie idle between calls, and is ended by closing."""
